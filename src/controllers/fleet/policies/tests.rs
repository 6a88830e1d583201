use serde_json::json;

use super::*;
use crate::controllers::fleet::fixtures::*;

fn policies(assignments: Vec<Assignment>, baselines: Vec<Baseline>, profiles: Vec<Profile>) -> Policies {
    let mut policies = Policies::default();
    for assignment in assignments {
        Assignment::put(&mut policies, assignment.name_any().into(), assignment, false);
    }
    for baseline in baselines {
        Baseline::put(&mut policies, baseline.name_any().into(), baseline, false);
    }
    for profile in profiles {
        Profile::put(&mut policies, profile.name_any().into(), profile, false);
    }
    policies
}

#[test]
fn the_revision_of_an_assignment_is_the_newest_of_what_it_names() {
    let spec = json!({ "groups": [{ "name": "g" }], "baselines": [{ "name": "cis" }], "profiles": [{ "name": "dock" }] });
    let own = from_git(assignment("all", &spec, 1), "main@sha1:own", 2);
    let cis = from_git(baseline("cis", 8, 1), "main@sha1:cis", 3);
    let dock = from_git(profile("dock"), "main@sha1:dock", 1);
    let other = from_git(baseline("other", 8, 1), "main@sha1:other", 9);
    let of = |assignments, baselines, profiles| {
        let policies = policies(assignments, baselines, profiles);
        let assignment = policies.assignments["all"].clone();
        let revision = policies.revision_of(&assignment);
        assert_eq!(policies.newest_revision(&["all".into()]), revision);
        assert_eq!(policies.inputs(&["all".into()])[0].revision, revision);
        revision.map(|revision| revision.to_string())
    };
    let all = of(vec![own.clone()], vec![cis.clone(), other], vec![dock.clone()]);
    assert_eq!(all.as_deref(), Some("main@sha1:cis"), "of what it names");
    assert_eq!(
        of(vec![own], Vec::new(), vec![dock.clone()]).as_deref(),
        Some("main@sha1:own")
    );
    // One that somebody applied by hand has none, and does not hide the others'.
    let by_hand = assignment("all", &spec, 1);
    assert_eq!(
        of(vec![by_hand.clone()], Vec::new(), vec![dock]).as_deref(),
        Some("main@sha1:dock")
    );
    assert_eq!(of(vec![by_hand.clone()], Vec::new(), Vec::new()), None);
    // A revision of unknown time is older than all others.
    let mut unknown = cis.clone();
    unknown.annotations_mut().remove(names::COMMITTED_AT_ANNOTATION);
    let dock = from_git(profile("dock"), "main@sha1:dock", 1);
    assert_eq!(
        of(vec![by_hand], vec![unknown], vec![dock]).as_deref(),
        Some("main@sha1:dock")
    );
}

#[test]
fn what_is_not_there_is_named() {
    let spec = json!({ "groups": [{ "name": "g" }], "baselines": [{ "name": "cis" }], "profiles": [{ "name": "dock" }] });
    let policies = policies(
        vec![assignment("all", &spec, 1)],
        Vec::new(),
        vec![profile("dock")],
    );
    let assignment = policies.assignments["all"].clone();
    assert_eq!(policies.missing(&assignment), ["DeviceGroup g", "Baseline cis"]);
    assert!(
        policies.mistakes(&assignment).is_empty(),
        "that it is not there (yet) is no mistake"
    );
    let input = &policies.inputs(&["all".into(), "nobody".into()])[0];
    assert_eq!((input.baselines.len(), input.profiles.len()), (0, 1));
}

#[test]
fn what_a_baseline_extends_counts_for_its_assignments() {
    let heir = |base: &str| -> Baseline {
        let spec = json!({ "title": "t", "version": "1", "extends": [{ "name": base }] });
        let object = json!({ "apiVersion": names::API_VERSION, "kind": "Baseline", "metadata": { "name": "corp" }, "spec": spec });
        serde_json::from_value(object).unwrap()
    };
    let spec = json!({ "groups": [{ "name": "g" }], "baselines": [{ "name": "corp", "parameters": { "none": 1 } }] });
    let of = |base| {
        let own = from_git(heir(base), "main@sha1:corp", 2);
        let cis = from_git(baseline("cis", 8, 1), "main@sha1:cis", 3);
        policies(vec![assignment("all", &spec, 1)], vec![own, cis], Vec::new())
    };
    let whole = of("cis");
    let assignment = whole.assignments["all"].clone();
    let input = &whole.inputs(&["all".into()])[0];
    assert_eq!(input.baselines[0].baseline.spec.rules.len(), 2);
    assert_eq!(
        input.revision.as_deref(),
        Some("main@sha1:cis"),
        "of what it extends"
    );
    assert_eq!(input.baselines[0].revision, input.revision);
    assert_eq!(whole.mistakes(&assignment).len(), 1, "there is no such parameter");
    let torn = of("gone");
    assert_eq!(torn.missing(&assignment), ["DeviceGroup g", "Baseline gone"]);
    assert_eq!(
        torn.mistakes(&assignment),
        [],
        "which parameters there are is not known"
    );
}

#[test]
fn a_parameter_that_no_baseline_has_is_a_mistake() {
    let spec = json!({ "groups": [{ "name": "g" }], "baselines": [{ "name": "cis", "parameters": { "nothing": 1 } }] });
    let policies = policies(
        vec![assignment("all", &spec, 1)],
        vec![baseline("cis", 8, 1)],
        Vec::new(),
    );
    let mistakes = policies.mistakes(&policies.assignments["all"].clone());
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].field.contains("nothing"), "{mistakes:?}");
}

#[test]
fn a_group_that_cannot_be_read_has_no_members() {
    let mut policies = Policies::default();
    DeviceGroup::put(
        &mut policies,
        "bad".into(),
        group("bad", &json!({ "expression": "device.nothing" }), 1),
        false,
    );
    DeviceGroup::put(
        &mut policies,
        "all".into(),
        group("all", &json!({ "selector": {} }), 1),
        false,
    );
    assert_eq!(names_of(&policies.groups_of(&device("A").candidate())), ["all"]);
    assert!(
        policies.groups["bad"]
            .members
            .as_ref()
            .unwrap_err()
            .contains("nothing")
    );
}
