use super::*;

fn control(framework: &str, id: &str) -> ControlRef {
    ControlRef {
        framework: framework.to_owned(),
        id: id.to_owned(),
    }
}

fn slip_of(framework: &str, id: &str) -> String {
    slip(&control(framework, id)).unwrap_or_default()
}

#[test]
fn the_tables_have_as_many_controls_as_the_publications() {
    let counts: Vec<(&str, usize)> = frameworks()
        .iter()
        .map(|framework| (framework.id, framework.controls.len()))
        .collect();
    assert_eq!(
        counts,
        [
            ("800-124r2", 17),
            ("800-171r3", 130),
            ("800-53r5", 1196),
            ("cis-v8", 153),
            ("hipaa", 72),
            ("soc2", 61),
        ]
    );
    for framework in frameworks() {
        assert_eq!(
            framework.titles.len(),
            framework.controls.len(),
            "{}: an id twice",
            framework.id
        );
        assert!(framework.source.starts_with("https://"), "{}", framework.id);
    }
    let active = tables::SOURCES_OF_800_171.len();
    let all = framework("800-171r3").unwrap();
    let withdrawn = all
        .controls
        .iter()
        .filter(|(_, title)| title.starts_with("Withdrawn"))
        .count();
    assert_eq!(active + withdrawn, all.controls.len());
}

#[test]
fn a_slip_in_the_name_of_a_control_is_found_and_other_frameworks_are_left_alone() {
    for (framework, id) in [
        ("800-53r5", "AC-11(1)"),
        ("800-53r5", "SA-8(33)"),
        ("800-171r3", "03.13.03"),
        ("cis-v8", "16.14"),
        ("hipaa", "164.308(a)(5)"),
        ("hipaa", "164.312(a)(2)(iv)"),
        ("soc2", "CC6.1"),
        ("cis-macos-26", "whatever"),
        ("iso-27001", "A.8.1"),
        ("800-53r4", "AC-11"),
    ] {
        assert_eq!(slip_of(framework, id), "", "{framework} {id}");
    }
    assert_eq!(
        slip_of("800-53r5", "AC-111"),
        "800-53r5 (revision 5, release 5.2.0) has no control `AC-111`; did you mean `AC-11`?"
    );
    assert_eq!(
        slip_of("800-53r5", "ac-7"),
        "800-53r5 (revision 5, release 5.2.0) has no control `ac-7`; did you mean `AC-7`?"
    );
    assert!(slip_of("soc2", "CC6.9").contains("did you mean"));
    assert!(slip_of("hipaa", "312(a)(1)").contains("has no control"));
    assert_eq!(
        slip_of("NIST-SP-800-53-r5", "AC-7"),
        "there is no table of framework `NIST-SP-800-53-r5`; did you mean `800-53r5`?"
    );
}

#[test]
fn every_control_of_the_crosswalk_exists() {
    for topic in &TOPICS {
        for (framework, ids) in topic.controls() {
            for id in ids {
                assert_eq!(slip_of(framework, id), "", "{}", topic.title);
            }
        }
    }
    for (_, _, sources) in &tables::SOURCES_OF_800_171 {
        for source in *sources {
            assert_eq!(slip_of("800-53r5", source), "");
        }
    }
}

#[test]
fn a_control_of_800_53_tells_what_it_has_to_do_with() {
    let told = related(&control("800-53r5", "AC-11"));
    let of = |framework: &str| {
        told.get(framework)
            .into_iter()
            .flatten()
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("800-171r3"), ["03.01.10"]);
    assert_eq!(of("soc2"), ["CC6.1"]);
    assert_eq!(of("hipaa"), ["164.312(a)(2)(iii)"]);
    assert_eq!(of("800-124r2"), ["lock-screen", "loss-and-theft"]);
    assert!(!told.contains_key("800-53r5"), "not with itself");
    let told = related(&control("800-171r3", "03.01.10"));
    assert!(told["800-53r5"].contains("AC-11(1)") && told["soc2"].contains("CC6.1"));
    assert!(!told.contains_key("800-171r3"));
    assert!(related(&control("soc2", "CC6.1")).is_empty());
    assert!(related(&control("800-53r5", "PE-1")).is_empty());
}
