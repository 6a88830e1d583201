use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn evaluate(source: &str, data: &Value) -> Result<bool, Obstacle> {
    Program::compile(source, &["SecurityInfo", "params"])
        .unwrap()
        .evaluate(&[
            ("SecurityInfo", data),
            ("params", &json!({ "delay": 10, "names": ["a", "b"] })),
        ])
}

fn refused(source: &str) -> String {
    Program::compile(source, &["SecurityInfo", "params"])
        .unwrap_err()
        .to_string()
}

#[test]
fn what_the_language_says_holds_over_reported_data() {
    let data = json!({
        "FDE_Enabled": true, "Delay": 7, "Ratio": 0.5, "Level": "full", "OSVersion": "15.10",
        "Apps": [{ "Name": "one", "Allowed": true }, { "Name": "two", "Allowed": false }],
        "FirewallSettings": { "FirewallEnabled": false, "stealth-mode": 1 }
    });
    for expression in [
        "SecurityInfo.FDE_Enabled",
        "SecurityInfo.FDE_Enabled == true && !SecurityInfo.FirewallSettings.FirewallEnabled",
        "SecurityInfo.Delay <= params.delay",
        "SecurityInfo.Delay + 3 == params.delay && SecurityInfo.Delay * 2 - 4 == 10 && SecurityInfo.Delay % 4 == 3",
        "SecurityInfo.Delay == 7.0 && SecurityInfo.Ratio < 1 && -SecurityInfo.Ratio < 0.0",
        "SecurityInfo.FirewallSettings['stealth-mode'] == 1",
        "SecurityInfo.Level in ['medium', 'full'] && !('c' in params.names)",
        "SecurityInfo.Apps.exists(a, a.Name == 'two' && !a.Allowed)",
        "SecurityInfo.Apps.all(a, size(a.Name) == 3)",
        "SecurityInfo.Apps.filter(a, a.Allowed).map(a, a.Name) == ['one']",
        "SecurityInfo.Apps.exists_one(a, a.Allowed)",
        "has(SecurityInfo.Level) && !has(SecurityInfo.FirewallSettings.LoggingEnabled)",
        "versionCompare(SecurityInfo.OSVersion, '15.2') == 1 && versionCompare('26', '26.0') == 0",
        "SecurityInfo.Level.matches('^f(u)ll$') && SecurityInfo.Level.startsWith('f') && SecurityInfo.Level.endsWith('l')",
        "SecurityInfo.Level.contains('ul') && SecurityInfo.Level + '!' == 'full!'",
        "(SecurityInfo.Delay > 5 ? 'long' : 'short') == 'long'",
        "int('5') == 5 && double(5) == 5.0 && string(5) == '5' && SecurityInfo.Apps.size() == 2",
        "SecurityInfo.Apps[1].Name == 'two' && params.names == ['a', 'b']",
    ] {
        assert_eq!(evaluate(expression, &data), Ok(true), "{expression}");
        assert_eq!(
            evaluate(&format!("!({expression})"), &data),
            Ok(false),
            "{expression}"
        );
    }
}

#[test]
fn what_was_not_reported_is_named_and_never_false() {
    let path = |source: &str, data: Value| evaluate(source, &data).unwrap_err().to_string();
    assert_eq!(
        path("SecurityInfo.FirewallSettings.FirewallEnabled == true", json!({})),
        "SecurityInfo.FirewallSettings was not reported"
    );
    assert_eq!(
        path(
            "!SecurityInfo.FirewallSettings['stealth-mode']",
            json!({ "FirewallSettings": {} })
        ),
        "SecurityInfo.FirewallSettings[\"stealth-mode\"] was not reported"
    );
    assert_eq!(
        path("SecurityInfo.Apps[3] == 1", json!({ "Apps": [] })),
        "SecurityInfo.Apps[3] was not reported"
    );
    assert_eq!(
        path("has(SecurityInfo.FirewallSettings.StealthMode)", json!({})),
        "SecurityInfo.FirewallSettings was not reported"
    );
    let program = Program::compile("has(SecurityInfo.X)", &["SecurityInfo"]).unwrap();
    assert_eq!(
        program.evaluate(&[]).unwrap_err().to_string(),
        "SecurityInfo was not reported"
    );
}

#[test]
fn what_decides_alone_decides_though_the_rest_is_missing() {
    let data = json!({ "On": true, "Apps": [{}, { "Bad": true }] });
    assert_eq!(
        evaluate("SecurityInfo.Missing || SecurityInfo.On", &data),
        Ok(true)
    );
    assert_eq!(
        evaluate("SecurityInfo.Missing && !SecurityInfo.On", &data),
        Ok(false)
    );
    assert!(evaluate("SecurityInfo.Missing && SecurityInfo.On", &data).is_err());
    assert_eq!(evaluate("SecurityInfo.Apps.exists(a, a.Bad)", &data), Ok(true));
    assert_eq!(evaluate("SecurityInfo.Apps.all(a, !a.Bad)", &data), Ok(false));
}

#[test]
fn a_result_that_is_not_a_truth_is_an_obstacle() {
    let data = json!({ "On": true, "N": 1 });
    assert_eq!(
        evaluate("SecurityInfo.N", &data).unwrap_err().to_string(),
        "the expression gives a whole number, not true or false"
    );
    assert_eq!(
        evaluate("SecurityInfo.On.Mode == 1", &data)
            .unwrap_err()
            .to_string(),
        "the expression cannot be evaluated: SecurityInfo.On is a boolean, which has no `Mode`"
    );
    for bad in [
        "SecurityInfo.N / 0 == 1",
        "SecurityInfo.On < 1",
        "9223372036854775807 + SecurityInfo.N > 0",
        "SecurityInfo.N && true",
    ] {
        assert!(
            matches!(evaluate(bad, &data), Err(Obstacle::Failed { .. })),
            "{bad}"
        );
    }
}

#[test]
fn mistakes_are_named_when_the_expression_is_read() {
    assert_eq!(
        refused("SecurtyInfo.FDE_Enabled"),
        "`SecurtyInfo` is not known here; known are SecurityInfo, params; did you mean `SecurityInfo`?"
    );
    assert_eq!(
        refused("SecurityInfo.X.startWith('a')"),
        "there is no function `startWith` of this form; did you mean `startsWith`?"
    );
    assert!(refused("SecurityInfo.X ==").starts_with("line 1, column "));
    assert_eq!(refused("SecurityInfo.X == {'a': 1}"), "maps are not supported");
    assert_eq!(
        refused("SecurityInfo.X.matches(params.p)"),
        "patterns that are not written out are not supported"
    );
    assert_eq!(refused("SecurityInfo.X == b'a'"), "bytes are not supported");
    assert!(refused("SecurityInfo.X.matches('(a{1000}){1000}')").contains("reasonable size"));
    assert!(refused("SecurityInfo{x: 1} == 1").contains("not supported"));
}

#[test]
fn hostile_expressions_are_refused_or_stopped() {
    for hostile in [
        "1+".repeat(2000) + "1 == 1",
        "!".repeat(4000) + "true",
        "-".repeat(4000) + "1 == 1",
        "(".repeat(1000) + "true" + &")".repeat(1000),
        "[".repeat(1000) + &"]".repeat(1000),
        "SecurityInfo".to_owned() + &".a".repeat(1900),
        "true ? ".repeat(500) + "true" + &" : true".repeat(500),
        "x".repeat(5000),
        "\"".to_owned() + &"(".repeat(3000),
    ] {
        // On a small stack, as a server's threads have.
        std::thread::Builder::new()
            .stack_size(1 << 20)
            .spawn(move || {
                assert!(
                    Program::compile(&hostile, &["SecurityInfo"]).is_err(),
                    "{hostile}"
                );
            })
            .unwrap()
            .join()
            .unwrap();
    }
    let bomb = "[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, [1,2,3,4,5,6,7,8,9].all(e, a+b+c+d+e > 0)))))";
    assert_eq!(evaluate(bomb, &json!({})), Err(Obstacle::TooLong));
    let wide: Vec<Value> = (0..400).map(|n| json!({ "Name": format!("app{n}") })).collect();
    assert_eq!(
        evaluate(
            "size(SecurityInfo.filter(a, a.Name != 'app7').map(a, a.Name)) == 399",
            &json!(wide)
        ),
        Ok(true)
    );
    assert_eq!(
        evaluate(
            "SecurityInfo.all(a, SecurityInfo.all(b, a == b))",
            &json!(vec![1; 1000])
        ),
        Err(Obstacle::TooLong)
    );
}

#[test]
fn the_largest_expression_allowed_fits_on_a_small_stack() {
    let deep = "(".repeat(MAX_NESTING - 1) + "true" + &")".repeat(MAX_NESTING - 1);
    let long = "SecurityInfo.a && ".repeat(MAX_OPERATORS / 4 - 8) + "true";
    for source in [deep, long] {
        std::thread::Builder::new()
            .stack_size(2 << 20)
            .spawn(move || {
                let program = Program::compile(&source, &["SecurityInfo"]).unwrap();
                assert_eq!(
                    program.evaluate(&[("SecurityInfo", &json!({ "a": true }))]),
                    Ok(true)
                );
            })
            .unwrap()
            .join()
            .unwrap();
    }
}

#[test]
fn paths_tell_what_an_expression_reads() {
    let program = Program::compile(
        "StatusItems.device['operating-system'].version == '1' && StatusItems.list.all(x, x.y) && has(SecurityInfo.A.B)",
        &["StatusItems", "SecurityInfo"],
    )
    .unwrap();
    let paths: Vec<String> = program.paths().iter().map(ToString::to_string).collect();
    assert_eq!(
        paths,
        [
            "StatusItems.device[\"operating-system\"].version",
            "StatusItems.list",
            "SecurityInfo.A.B"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_text_makes_the_reader_panic(source in "\\PC{0,80}") {
        let _ = Program::compile(&source, &["SecurityInfo"]);
    }

    #[test]
    fn no_text_of_the_language_makes_reader_or_evaluation_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "SecurityInfo", ".a", ".b", "[", "]", "(", ")", "1", "'x'", "==", "&&", "||", "!", "-", "+", "in", "has(",
            ".all(x, ", ".map(x, ", "x", "?", ":", "null", "true", ",", "size(", ".matches('a')", "{", "}", "1u", "1.5", "%", "/", "<",
        ]), 1..14)
    ) {
        if let Ok(program) = Program::compile(&parts.join(" "), &["SecurityInfo"]) {
            let _ = program.evaluate(&[("SecurityInfo", &json!({ "a": [1, { "b": "x" }], "b": -3 }))]);
        }
    }
}

#[test]
fn what_the_parser_would_take_minutes_for_is_refused_before() {
    let refused = |source: &str| {
        let error = Program::compile(source, &["value"]).map(drop).unwrap_err();
        error.to_string()
    };
    assert_eq!(refused("value[0"), "line 1, column 8: `[` is not closed");
    assert_eq!(refused("value ==\n  [1)"), "line 2, column 5: `)` closes nothing");
    assert_eq!(
        refused("- -!- -value"),
        "the expression is too complex (signs in a row): at most 4 are allowed"
    );
    // Brackets and signs in literals and comments are none.
    for fine in [
        r#"value == "-----(""#,
        r"value == r'\' || value in ['(']",
        "value == 1 // ) --------",
        "!!(value == -1)",
    ] {
        Program::compile(fine, &["value"]).unwrap_or_else(|error| panic!("{fine}: {error}"));
    }
}
