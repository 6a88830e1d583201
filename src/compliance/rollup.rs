//! Roll-up: from the verdicts of rules to one for each control that they support, and from devices to how many stand where.
//!
//! The worst decides, in the order of [`badness`]: a control fails where one of its rules does, whatever the others say; it is unknown where none fails and
//! one is; it is waived where none is either and one is waived; it passes where all that apply pass. A rule that does not apply says nothing, and a control
//! without a rule that applies does not apply. So the order in which rules and devices are counted, and whether they are counted in steps, makes no
//! difference.

use std::collections::BTreeMap;

use super::demand::Demand;
use super::transition::badness;
use crate::api::baseline::ControlRef;
use crate::api::common::{Verdict, VerdictCounts};

/// The worst of some verdicts; of none that nothing applies.
#[must_use]
pub fn roll_up(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    let worst = verdicts.into_iter().max_by_key(|verdict| badness(*verdict));
    worst.unwrap_or(Verdict::NotApplicable)
}

/// The verdict on each control that the demands of one device support, which come with their verdicts.
#[must_use]
pub fn by_control<'d>(
    demands: impl IntoIterator<Item = (&'d Demand, Verdict)>,
) -> BTreeMap<&'d ControlRef, Verdict> {
    let mut controls: BTreeMap<&ControlRef, Verdict> = BTreeMap::new();
    for (demand, verdict) in demands {
        for control in demand.controls.iter() {
            let known = controls.entry(control).or_insert(Verdict::NotApplicable);
            *known = roll_up([*known, verdict]);
        }
    }
    controls
}

/// The verdicts of which there is at least one.
#[must_use]
pub fn present(counts: VerdictCounts) -> Vec<Verdict> {
    let VerdictCounts {
        pass,
        fail,
        waived,
        unknown,
        not_applicable,
    } = counts;
    let verdicts = [
        (pass, Verdict::Pass),
        (fail, Verdict::Fail),
        (waived, Verdict::Waived),
        (unknown, Verdict::Unknown),
        (not_applicable, Verdict::NotApplicable),
    ];
    let some = verdicts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(_, verdict)| verdict).collect()
}

/// Counts of different rules or devices, together.
#[must_use]
pub const fn sum(one: VerdictCounts, other: VerdictCounts) -> VerdictCounts {
    let VerdictCounts {
        pass,
        fail,
        waived,
        unknown,
        not_applicable,
    } = other;
    VerdictCounts {
        pass: one.pass + pass,
        fail: one.fail + fail,
        waived: one.waived + waived,
        unknown: one.unknown + unknown,
        not_applicable: one.not_applicable + not_applicable,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop::sample::select(vec![
            Verdict::Pass,
            Verdict::Fail,
            Verdict::Waived,
            Verdict::Unknown,
            Verdict::NotApplicable,
        ])
    }

    fn verdicts() -> impl Strategy<Value = Vec<Verdict>> {
        prop::collection::vec(verdict(), 0..6)
    }

    #[test]
    fn the_worst_decides_and_what_does_not_apply_says_nothing() {
        use Verdict::{Fail, NotApplicable, Pass, Unknown, Waived};
        for (of, expected) in [
            (vec![], NotApplicable),
            (vec![NotApplicable, Pass], Pass),
            (vec![Pass, Unknown, Pass], Unknown),
            (vec![Unknown, Fail, Pass], Fail),
            (vec![Pass, Waived], Waived),
            (vec![Waived, Unknown], Unknown),
        ] {
            assert_eq!(roll_up(of), expected);
        }
    }

    proptest! {
        #[test]
        fn order_steps_and_repetition_make_no_difference(a in verdicts(), b in verdicts(), c in verdicts()) {
            let whole = roll_up([a.clone(), b.clone(), c.clone()].concat());
            prop_assert_eq!(roll_up([c.clone(), a.clone(), b.clone()].concat()), whole);
            let in_steps = roll_up([roll_up(a.clone()), roll_up(b.clone()), roll_up(c.clone())]);
            prop_assert_eq!(in_steps, whole);
            prop_assert_eq!(roll_up([whole, whole]), whole);
            prop_assert_eq!(roll_up([whole, Verdict::NotApplicable]), whole);
            prop_assert_eq!(roll_up([whole, Verdict::Fail]), Verdict::Fail);
        }

        #[test]
        fn counts_tell_which_verdicts_there_are(a in verdicts(), b in verdicts()) {
            let of = |verdicts: &[Verdict]| crate::compliance::count(verdicts.iter().copied());
            let both = [a.clone(), b.clone()].concat();
            prop_assert_eq!(sum(of(&a), of(&b)), of(&both));
            prop_assert_eq!(roll_up(present(of(&both))), roll_up(both));
        }

        #[test]
        fn a_control_never_stands_better_than_one_of_its_rules(of in verdicts(), one in verdict()) {
            let more = roll_up([of.clone(), vec![one]].concat());
            prop_assert!(badness(more) >= badness(one) && badness(more) >= badness(roll_up(of.clone())));
            // It is one of what its rules say.
            prop_assert!(more == one || of.contains(&more));
        }
    }
}
