//! Objects that somebody deleted, and objects without an enrolment.

use futures::FutureExt as _;

use super::retries::Attempt;
use super::{Planner, some_at_a_time};
use crate::controllers::fleet::object;

impl Planner {
    /// Carries out deletions.
    pub(super) async fn delete(&mut self) {
        let keys = std::mem::take(&mut self.world.deleting);
        let (world, context) = (&self.world, &self.context);
        let work = keys.into_iter().map(|key| {
            async move {
                let result = match world.by_object(&key) {
                    Some(device) => object::delete(context, device).await,
                    // An object without an enrolment holds nothing back.
                    None => object::let_go(context, &key).await,
                };
                (Attempt::Delete(key), result)
            }
            .boxed()
        });
        let done = some_at_a_time(work.collect()).await;
        self.settle(done);
    }

    /// Says of objects that no device has enrolled under their names.
    pub(super) async fn disown(&mut self) {
        let keys = std::mem::take(&mut self.world.unclaimed);
        let context = &self.context;
        let work = keys.into_iter().map(|key| {
            async move {
                let result = object::disown(context, &key).await;
                (Attempt::Disown(key), result)
            }
            .boxed()
        });
        let done = some_at_a_time(work.collect()).await;
        self.settle(done);
    }

    fn settle(&mut self, done: Vec<(Attempt, Result<(), crate::controllers::fleet::evaluate::Error>)>) {
        for (attempt, result) in done {
            match result {
                Ok(()) => self.retries.succeeded(&attempt),
                Err(error) => self.failed(&attempt, &error),
            }
        }
    }
}
