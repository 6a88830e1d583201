//! Work on many things that have nothing to do with each other, on all processors. What comes of it is in the order of the things.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

/// The most threads: more gain nothing for what is done here.
const MAXIMUM_THREADS: usize = 8;

/// Does `work` on each of `items` and gives the results in their order. Where no thread can be had, this one does it all.
///
/// # Panics
/// When `work` does.
pub fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(MAXIMUM_THREADS).min(items.len());
    let next = AtomicUsize::new(0);
    // Each takes the next one that nobody has taken.
    let take = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else {
                return done;
            };
            done.push((place, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .filter_map(|_| Builder::new().spawn_scoped(scope, take).ok())
            .collect();
        let mut done = take();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_things() {
        let numbers: Vec<u64> = (0..1000).collect();
        let squares = side_by_side(&numbers, |number| number * number);
        assert!(squares.iter().zip(&numbers).all(|(square, n)| *square == n * n));
        assert_eq!(squares.len(), numbers.len());
        assert!(side_by_side(&[] as &[u64], |number| *number).is_empty());
    }
}
