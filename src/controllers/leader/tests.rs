//! The rule, as stories and as a law: whatever happens in whatever order, two never lead at once.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const TIMING: Timing = Timing {
    lease: Duration::from_secs(15),
    renew_deadline: Duration::from_secs(10),
    retry: Duration::from_secs(2),
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn candidate(name: &str) -> Election {
    Election::new(name.to_owned(), TIMING)
}

fn claim(election: &mut Election, seconds: u64) -> Record {
    let record = election.claim(Timestamp::UNIX_EPOCH + at(seconds));
    election.claimed(record.clone(), at(seconds), at(seconds));
    record
}

#[test]
fn who_finds_no_lease_claims_it_and_renews_it() {
    let mut a = candidate("a");
    assert_eq!(a.next(at(0)), Step::Claim);
    assert!(!a.leads(at(0)));
    let first = claim(&mut a, 0);
    assert!(a.leads(at(9)) && a.next(at(9)) == Step::Claim);
    let second = claim(&mut a, 9);
    assert!(a.leads(at(18)));
    assert_eq!((first.transitions, second.transitions), (0, 0));
    assert_eq!(second.acquired_at, first.acquired_at);
    assert_eq!(
        a.next(at(19)),
        Step::Lost,
        "ten seconds after the last claim was sent"
    );
}

#[test]
fn who_sees_another_waits_from_when_the_record_was_seen_to_change() {
    let (mut a, mut b) = (candidate("a"), candidate("b"));
    // The clock of `a` on the wall is off by ten years; that is nobody's business.
    let mut record = claim(&mut a, 0);
    record.renewed_at = Some(Timestamp::UNIX_EPOCH + Duration::from_hours(24 * 3_650));
    b.observe(&record, at(1_000));
    assert_eq!(b.next(at(1_000)), Step::Follow(at(1_015)));
    b.observe(&record, at(1_014));
    assert_eq!(
        b.next(at(1_014)),
        Step::Follow(at(1_015)),
        "seeing it again is no news"
    );
    record.renewed_at = Some(Timestamp::UNIX_EPOCH);
    b.observe(&record, at(1_014));
    assert_eq!(
        b.next(at(1_014)),
        Step::Follow(at(1_029)),
        "any change is, even to an older time"
    );
    assert_eq!(b.next(at(1_029)), Step::Claim);
    assert_eq!(claim(&mut b, 1_029).transitions, 1);
}

#[test]
fn a_lease_that_was_handed_back_is_free_at_once() {
    let (mut a, mut b) = (candidate("a"), candidate("b"));
    let record = claim(&mut a, 0);
    b.observe(&record, at(0));
    let free = a.release(Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(free.holder, "");
    b.observe(&free, at(1));
    assert_eq!(b.next(at(1)), Step::Claim);
    assert_eq!(claim(&mut b, 1).transitions, 1);
    assert_eq!(b.release(Timestamp::UNIX_EPOCH).unwrap().transitions, 1);
    a.observe(&b.claim(Timestamp::UNIX_EPOCH), at(2));
    assert_eq!(
        a.release(Timestamp::UNIX_EPOCH),
        None,
        "only what is one's own is handed back"
    );
}

#[test]
fn who_sees_another_in_its_place_leads_no_longer() {
    let (mut a, mut b) = (candidate("a"), candidate("b"));
    claim(&mut a, 0);
    a.observe(&claim(&mut b, 1), at(1));
    assert!(!a.leads(at(1)));
    assert_eq!(a.next(at(1)), Step::Follow(at(16)));
}

#[test]
fn a_claim_whose_answer_was_lost_is_made_again_before_it_counts() {
    let mut a = candidate("a");
    let record = a.claim(Timestamp::UNIX_EPOCH);
    a.observe(&record, at(5));
    assert!(!a.leads(at(5)), "when it was sent is not known any more");
    assert_eq!(a.next(at(5)), Step::Claim);
    assert_eq!(claim(&mut a, 5).transitions, 0);
}

#[test]
fn durations_out_of_order_are_refused() {
    let timing = |lease, renew_deadline, retry| Timing {
        lease: Duration::from_millis(lease),
        renew_deadline: Duration::from_millis(renew_deadline),
        retry: Duration::from_millis(retry),
    };
    assert_eq!(Timing::default().check(), Ok(TIMING));
    assert!(timing(3_000, 2_400, 200).check().is_ok());
    for wrong in [
        timing(1_500, 1_000, 200),
        timing(0, 0, 0),
        timing(15_000, 15_000, 2_000),
        timing(15_000, 10_000, 6_000),
        timing(15_000, 10_000, 0),
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
}

/// What may happen next to one of the candidates, or to all.
#[derive(Debug, Clone)]
enum Event {
    /// Time passes, in milliseconds of the world.
    Pass(u64),
    /// It reads the lease.
    Read(usize),
    /// It sends a claim, if that is what it should do.
    Send(usize),
    /// Its claim arrives, and is accepted if the lease is as it was when it was read.
    Arrive(usize),
    /// It hears the answer.
    Hear(usize),
    /// It waits for the answer no longer. The claim may be on its way still.
    Lose(usize),
    /// A claim that nobody waits for arrives.
    Late,
    /// It stops and hands the lease back.
    Release(usize),
    /// Somebody deletes the Lease that nobody holds any more.
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    let who = 0..3_usize;
    prop_oneof![
        4 => (1..8_000_u64).prop_map(Event::Pass),
        4 => who.clone().prop_map(Event::Read),
        4 => who.clone().prop_map(Event::Send),
        4 => who.clone().prop_map(Event::Arrive),
        4 => who.clone().prop_map(Event::Hear),
        1 => who.clone().prop_map(Event::Lose),
        2 => Just(Event::Late),
        1 => who.prop_map(Event::Release),
        1 => Just(Event::Delete),
    ]
}

/// A claim on its way.
#[derive(Debug, Clone)]
struct Claim {
    record: Record,
    sent: Duration,
    over: Option<u64>,
    outcome: Outcome,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    OnItsWay,
    Refused,
    /// It made this revision.
    Accepted(u64),
}

/// One candidate with a clock that is wrong by an offset and by up to a tenth in speed.
struct Replica {
    election: Election,
    offset: Duration,
    speed: u32,
    read: Option<u64>,
    claim: Option<Claim>,
}

impl Replica {
    fn clock(&self, world: Duration) -> Duration {
        self.offset + world * self.speed / 1_000
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn two_never_lead_at_once(
        offsets in prop::array::uniform3(0..1_000_000_u64),
        speeds in prop::array::uniform3(900..1_100_u32),
        events in prop::collection::vec(event(), 0..150),
    ) {
        let mut world = Duration::ZERO;
        let mut stored: Option<(u64, Record)> = None;
        let mut revision = 0_u64;
        let mut late: Vec<Claim> = Vec::new();
        let mut replicas: Vec<Replica> = (0..3).map(|n| Replica {
            election: candidate(["a", "b", "c"][n]),
            offset: Duration::from_millis(offsets[n]),
            speed: speeds[n],
            read: None,
            claim: None,
        }).collect();
        for event in events {
            match event {
                Event::Pass(milliseconds) => world += Duration::from_millis(milliseconds),
                Event::Read(n) => {
                    let now = replicas[n].clock(world);
                    replicas[n].read = stored.as_ref().map(|(revision, _)| *revision);
                    if let Some((_, record)) = &stored {
                        replicas[n].election.observe(record, now);
                    }
                }
                Event::Send(n) => {
                    let replica = &mut replicas[n];
                    let now = replica.clock(world);
                    if replica.claim.is_none() && replica.election.next(now) == Step::Claim {
                        replica.claim = Some(Claim {
                            record: replica.election.claim(Timestamp::UNIX_EPOCH + now),
                            sent: now,
                            over: replica.read,
                            outcome: Outcome::OnItsWay,
                        });
                    }
                }
                Event::Arrive(n) => {
                    let Some(claim) = replicas[n].claim.as_mut().filter(|claim| claim.outcome == Outcome::OnItsWay) else {
                        continue;
                    };
                    let same = claim.over == stored.as_ref().map(|(revision, _)| *revision);
                    claim.outcome = if same {
                        revision += 1;
                        stored = Some((revision, claim.record.clone()));
                        Outcome::Accepted(revision)
                    } else {
                        Outcome::Refused
                    };
                }
                Event::Hear(n) => {
                    let now = replicas[n].clock(world);
                    let replica = &mut replicas[n];
                    let Some(claim) = replica.claim.take_if(|claim| claim.outcome != Outcome::OnItsWay) else {
                        continue;
                    };
                    if let Outcome::Accepted(revision) = claim.outcome {
                        replica.read = Some(revision);
                        replica.election.claimed(claim.record, claim.sent, now);
                    }
                }
                Event::Lose(n) => late.extend(replicas[n].claim.take()),
                Event::Late => {
                    let Some(claim) = late.pop() else { continue };
                    let same = claim.over == stored.as_ref().map(|(revision, _)| *revision);
                    if claim.outcome == Outcome::OnItsWay && same {
                        revision += 1;
                        stored = Some((revision, claim.record));
                    }
                }
                Event::Release(n) => {
                    let replica = &mut replicas[n];
                    late.extend(replica.claim.take());
                    replica.election.give_up();
                    let Some((now_stored, record)) = &stored else { continue };
                    replica.election.observe(record, replica.clock(world));
                    replica.read = Some(*now_stored);
                    if let Some(free) = replica.election.release(Timestamp::UNIX_EPOCH) {
                        revision += 1;
                        stored = Some((revision, free));
                    }
                }
                Event::Delete => {
                    let held = replicas.iter().any(|replica| replica.election.leads(replica.clock(world)));
                    let claimed = replicas.iter().any(|replica| replica.claim.is_some());
                    if !held && !claimed && late.is_empty() {
                        stored = None;
                    }
                }
            }
            let leaders: Vec<usize> = (0..3)
                .filter(|n| replicas[*n].election.leads(replicas[*n].clock(world)))
                .collect();
            prop_assert!(leaders.len() <= 1, "{leaders:?} lead at {world:?}");
        }
    }

    /// The law above is no good if nobody ever leads: one who is left alone gets the lease within the duration that the last record names.
    #[test]
    fn who_is_left_alone_leads_in_the_end(seconds in 1..60_u64, transitions in 0..1_000_i32) {
        let record = Record {
            holder: "gone".to_owned(),
            duration: at(seconds),
            transitions,
            acquired_at: None,
            renewed_at: None,
        };
        let mut a = candidate("a");
        a.observe(&record, at(0));
        prop_assert_eq!(a.next(at(seconds).saturating_sub(Duration::from_nanos(1))), Step::Follow(at(seconds)));
        prop_assert_eq!(a.next(at(seconds)), Step::Claim);
        prop_assert_eq!(claim(&mut a, seconds).transitions, transitions + 1);
        prop_assert!(a.leads(at(seconds)));
    }
}
