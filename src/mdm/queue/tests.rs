use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::ids::CommandUuid;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn later(seconds: i64) -> Timestamp {
    START + SignedDuration::from_secs(seconds)
}

/// The queue with its decisions carried out, as a store does it.
#[derive(Default)]
struct Queue {
    pending: Vec<PendingCommand>,
    ended: BTreeMap<i64, FinalState>,
}

impl Queue {
    fn of(commands: &[(i64, Option<&str>)]) -> Self {
        let mut queue = Self::default();
        for (sequence, chain) in commands {
            queue.add(*sequence, *chain, later(1_000_000));
        }
        queue
    }

    fn add(&mut self, sequence: i64, chain: Option<&str>, deadline: Timestamp) {
        self.pending.push(PendingCommand {
            sequence,
            uuid: CommandUuid::parse(&format!("c-{sequence}")).unwrap(),
            request_type: "InstallProfile".into(),
            state: PendingState::Queued,
            attempts: 0,
            unanswered: 0,
            deferrals: 0,
            intent: None,
            chain: chain.map(Into::into),
            priority: Priority::Normal,
            queued_at: START,
            deadline,
        });
    }

    fn poll(&mut self, idle: bool, now: Timestamp) -> Option<i64> {
        let plan = plan(self.pending.iter(), idle, now);
        for sequence in &plan.expired {
            self.end(*sequence, FinalState::Expired);
        }
        for command in &mut self.pending {
            if plan.requeued.contains(&command.sequence) {
                command.state = PendingState::Queued;
            }
            if plan.offer == Some(command.sequence) {
                command.state = PendingState::Sent;
                command.attempts += 1;
                command.unanswered += 1;
            }
        }
        plan.offer
    }

    fn idle(&mut self) -> Option<i64> {
        self.poll(true, START)
    }

    /// Reports and asks for the next.
    fn report(&mut self, sequence: i64, status: &ReportStatus) -> Option<i64> {
        self.take(sequence, status);
        self.poll(false, START)
    }

    fn take(&mut self, sequence: i64, status: &ReportStatus) {
        let Some(command) = self
            .pending
            .iter_mut()
            .find(|command| command.sequence == sequence)
        else {
            return;
        };
        match apply(status) {
            Effect::End { state, .. } => self.end(sequence, state),
            Effect::Defer => {
                command.state = PendingState::NotNow;
                command.unanswered = 0;
            }
            Effect::Keep => {}
        }
    }

    fn end(&mut self, sequence: i64, state: FinalState) {
        self.pending.retain(|command| command.sequence != sequence);
        assert_eq!(self.ended.insert(sequence, state), None, "a command ends once");
    }
}

use ReportStatus::{Acknowledged, NotNow};

#[test]
fn commands_come_in_the_order_they_were_queued() {
    let mut queue = Queue::of(&[(1, None), (2, None), (3, None)]);
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &Acknowledged), Some(2));
    assert_eq!(
        queue.report(2, &ReportStatus::Error(vec![ErrorLink::default()])),
        Some(3)
    );
    assert_eq!(queue.report(3, &ReportStatus::CommandFormatError), None);
    assert_eq!(queue.ended[&2], FinalState::Failed);
    assert_eq!(queue.ended[&3], FinalState::Failed);
}

#[test]
fn a_lost_reply_is_made_up_for_by_the_same_command() {
    let mut queue = Queue::of(&[(1, None), (2, None)]);
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.idle(), Some(1));
    // The report of 1 was lost on its way to the server, and the device repeats an older one.
    assert_eq!(queue.report(99, &Acknowledged), Some(1));
}

#[test]
fn not_now_lets_others_pass_and_comes_back_at_the_next_idle_oldest_first() {
    let mut queue = Queue::of(&[(1, None), (2, None), (3, None)]);
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &NotNow), Some(2));
    assert_eq!(queue.report(2, &NotNow), Some(3));
    assert_eq!(
        queue.report(3, &Acknowledged),
        None,
        "nothing that answered NotNow in this session"
    );
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &Acknowledged), Some(2));
}

#[test]
fn a_chain_waits_for_its_head_and_nobody_else_does() {
    let mut queue = Queue::of(&[
        (1, Some("setup")),
        (2, Some("setup")),
        (3, None),
        (4, Some("other")),
    ]);
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &NotNow), Some(3), "2 may not overtake 1");
    assert_eq!(queue.report(3, &Acknowledged), Some(4));
    assert_eq!(queue.report(4, &Acknowledged), None);
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &Acknowledged), Some(2));
}

#[test]
fn a_stuck_command_is_parked_and_offered_once_a_session_after_all_others() {
    let mut queue = Queue::of(&[(1, None), (2, None)]);
    for _ in 0..OFFERS_BEFORE_PARKING {
        assert_eq!(queue.idle(), Some(1));
    }
    assert_eq!(queue.idle(), Some(2), "parked");
    assert_eq!(
        queue.report(2, &Acknowledged),
        Some(1),
        "and offered again when nothing else is left"
    );
    assert_eq!(
        queue.report(99, &Acknowledged),
        None,
        "but not twice in one session"
    );
    assert_eq!(queue.idle(), Some(1));
    assert_eq!(queue.report(1, &NotNow), None);
    assert_eq!(
        queue.pending[0].unanswered, 0,
        "an answer, though NotNow, takes it out of the park"
    );
}

#[test]
fn stuck_commands_take_turns() {
    let mut queue = Queue::of(&[(1, None), (2, None)]);
    let offers: Vec<_> = (0..10).map(|_| queue.idle().unwrap()).collect();
    assert_eq!(offers, [1, 1, 1, 2, 2, 2, 1, 2, 1, 2]);
}

#[test]
fn a_status_that_nobody_knows_does_not_make_an_endless_loop() {
    let mut queue = Queue::of(&[(1, None)]);
    let unknown = ReportStatus::Other("Pondering".into());
    let mut offers = u32::from(queue.idle().is_some());
    while queue.report(1, &unknown).is_some() {
        offers += 1;
    }
    assert_eq!(offers, OFFERS_BEFORE_PARKING);
}

#[test]
fn an_endless_error_chain_is_cut() {
    let link = |length| ErrorLink {
        domain: "d".repeat(length),
        code: Some(1),
        localized: Some("é".repeat(length)),
        us_english: Some("e".repeat(length)),
    };
    let Effect::End { state, cause } = apply(&ReportStatus::Error(vec![link(10_000); 1000])) else {
        panic!("an error ends a command");
    };
    assert_eq!(state, FinalState::Failed);
    assert_eq!(cause.errors, vec![link(LINK_LENGTH); CHAIN_LINKS]);
}

#[test]
fn what_is_past_its_deadline_expires_and_frees_its_chain() {
    let mut queue = Queue::default();
    queue.add(1, Some("setup"), later(10));
    queue.add(2, Some("setup"), later(20));
    assert_eq!(
        queue.poll(true, later(10)),
        Some(1),
        "a deadline is the last moment"
    );
    assert_eq!(queue.poll(true, later(11)), Some(2));
    assert_eq!(queue.ended[&1], FinalState::Expired);
    queue.take(1, &Acknowledged);
    assert_eq!(
        queue.ended[&1],
        FinalState::Expired,
        "a late report changes nothing"
    );
}

#[test]
fn planning_twice_without_a_report_between_changes_nothing_but_the_counts() {
    let queue = Queue::of(&[(1, None)]);
    assert_eq!(
        plan(queue.pending.iter(), true, START),
        Plan {
            offer: Some(1),
            ..Plan::default()
        }
    );
    assert_eq!(plan([].iter(), true, START), Plan::default());
}

/// What a device may do next in a made-up history.
#[derive(Debug, Clone)]
enum Step {
    Enqueue {
        chain: Option<u8>,
        lifetime: u16,
    },
    Idle,
    /// Answers what it was given last.
    Answer(Answer),
    /// Reports on something, given or not, pending or not.
    Stray {
        sequence: i64,
        answer: Answer,
    },
    Wait(u16),
}

#[derive(Debug, Clone)]
enum Answer {
    Acknowledged,
    Error,
    FormatError,
    NotNow,
    Other,
}

impl Answer {
    fn status(&self) -> ReportStatus {
        match self {
            Self::Acknowledged => Acknowledged,
            Self::Error => ReportStatus::Error(vec![ErrorLink::default()]),
            Self::FormatError => ReportStatus::CommandFormatError,
            Self::NotNow => NotNow,
            Self::Other => ReportStatus::Other("Maybe".into()),
        }
    }
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Acknowledged),
        1 => Just(Answer::Error),
        1 => Just(Answer::FormatError),
        4 => Just(Answer::NotNow),
        1 => Just(Answer::Other),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (prop::option::of(0..3_u8), 1..500_u16).prop_map(|(chain, lifetime)| Step::Enqueue { chain, lifetime }),
        3 => Just(Step::Idle),
        6 => answers().prop_map(Step::Answer),
        1 => (0..40_i64, answers()).prop_map(|(sequence, answer)| Step::Stray { sequence, answer }),
        1 => (0..100_u16).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    /// Whatever a device does: no ended command is offered, none past its deadline, none that said NotNow in this session, and none
    /// before an older one of its chain.
    #[test]
    fn only_eligible_commands_are_offered(steps in steps()) {
        let mut queue = Queue::default();
        let (mut now, mut next, mut given) = (START, 0, None);
        let mut not_now = BTreeSet::new();
        for step in steps {
            let idle = matches!(step, Step::Idle);
            match step {
                Step::Enqueue { chain, lifetime } => {
                    queue.add(next, chain.map(|c| c.to_string()).as_deref(), now + SignedDuration::from_secs(lifetime.into()));
                    next += 1;
                    continue;
                }
                Step::Wait(seconds) => {
                    now += SignedDuration::from_secs(seconds.into());
                    continue;
                }
                Step::Idle => not_now.clear(),
                Step::Answer(answer) => {
                    let Some(sequence) = given else { continue };
                    if matches!(answer, Answer::NotNow) {
                        not_now.insert(sequence);
                    }
                    queue.take(sequence, &answer.status());
                }
                Step::Stray { sequence, answer } => {
                    let known = queue.pending.iter().any(|c| c.sequence == sequence);
                    if known && matches!(answer, Answer::NotNow) {
                        not_now.insert(sequence);
                    }
                    queue.take(sequence, &answer.status());
                }
            }
            given = queue.poll(idle, now);
            if let Some(sequence) = given {
                let offered = queue.pending.iter().find(|c| c.sequence == sequence).expect("pending, so not ended");
                prop_assert!(offered.deadline >= now);
                prop_assert_eq!(offered.state, PendingState::Sent);
                prop_assert!(!not_now.contains(&sequence));
                let older = queue.pending.iter().find(|c| c.chain == offered.chain && c.sequence < sequence);
                prop_assert!(offered.chain.is_none() || older.is_none());
            } else {
                // Nothing is held back without a reason: each remaining head said NotNow or is parked and had its turn.
                let mut chains = BTreeSet::new();
                for command in &queue.pending {
                    if command.chain.as_ref().is_some_and(|chain| !chains.insert(chain.clone())) {
                        continue;
                    }
                    prop_assert!(
                        command.state == PendingState::NotNow
                            || (command.state == PendingState::Sent && command.unanswered >= OFFERS_BEFORE_PARKING)
                    );
                }
            }
        }
    }

    /// A device that never reports on some commands, and says NotNow to others a few times, still gets all the rest done.
    #[test]
    fn nothing_starves_behind_stuck_commands(
        chains in prop::collection::vec(prop::option::of(0..4_u8), 1..20),
        stuck in prop::collection::btree_set(0..20_i64, 0..5),
        mut patience in prop::collection::btree_map(0..20_i64, 0..4_u32, 0..10),
    ) {
        let mut queue = Queue::default();
        for (sequence, chain) in (0..).zip(&chains) {
            queue.add(sequence, chain.map(|c| c.to_string()).as_deref(), later(1));
        }
        // Each Idle either gets a command done, uses up a NotNow, or counts an unanswered offer towards parking.
        for _ in 0..chains.len() * (OFFERS_BEFORE_PARKING as usize + 5) {
            let mut given = queue.idle();
            while let Some(sequence) = given.filter(|sequence| !stuck.contains(sequence)) {
                let left = patience.entry(sequence).or_default();
                let status = if *left > 0 { NotNow } else { Acknowledged };
                *left = left.saturating_sub(1);
                given = queue.report(sequence, &status);
            }
        }
        for command in &queue.pending {
            let behind_stuck = command.chain.is_some()
                && queue.pending.iter().any(|c| c.chain == command.chain && c.sequence < command.sequence);
            prop_assert!(stuck.contains(&command.sequence) || behind_stuck, "{command:?} starved");
        }
        // And the stuck ones are still offered in turn: none for ever at the cost of another.
        let heads: BTreeSet<i64> = (0..100).filter_map(|_| queue.idle()).collect();
        let mut seen = BTreeSet::new();
        let expected: BTreeSet<i64> = queue.pending.iter()
            .filter(|c| c.chain.as_ref().is_none_or(|chain| seen.insert(chain.clone())))
            .map(|c| c.sequence)
            .collect();
        prop_assert_eq!(heads, expected);
    }

    /// Repeated and unknown reports change nothing.
    #[test]
    fn reports_are_idempotent(count in 1..6_i64, status in answers(), repeat in 1..4_usize) {
        let mut queue = Queue::default();
        for sequence in 0..count {
            queue.add(sequence, None, later(1));
        }
        let given = queue.idle().unwrap();
        queue.take(given, &status.status());
        let (pending, ended) = (queue.pending.clone(), queue.ended.clone());
        for _ in 0..repeat {
            queue.take(given, &status.status());
            queue.take(999, &Acknowledged);
        }
        prop_assert_eq!(queue.pending, pending);
        prop_assert_eq!(queue.ended, ended);
    }
}
