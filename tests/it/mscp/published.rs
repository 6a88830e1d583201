//! The published trees as a whole: all of their baselines, in both formats.

use std::collections::BTreeMap;
use std::sync::Arc;

use provost::api::BaselineSpec;
use provost::api::baseline::UnprovenReason;
use provost::gitops::mscp::{BaselineReport, Judge, Report, report};
use provost::policy::check_baseline;
use provost::policy::schema::Schema;

use super::{published, tree};

fn by_id(report: &Report) -> BTreeMap<&str, &BaselineReport> {
    report
        .baselines
        .iter()
        .map(|baseline| (baseline.id.as_str(), baseline))
        .collect()
}

#[test]
fn all_baselines_of_2_0_are_imported_with_all_of_their_rules() {
    let Some(folder) = published("the import of the published 2.0 tree") else {
        return;
    };
    let report = report(&tree(&folder.join("mscp")), Schema::embedded());
    assert_eq!(report.errors, []);
    assert_eq!((report.rules, report.baselines.len()), (478, 51));
    let baselines = by_id(&report);
    for (id, rules) in [
        ("cis_lvl1_macos_26.0", 98),
        ("cis_lvl2_macos_26.0", 117),
        ("cisv8_macos_26.0", 179),
        ("disa_stig_macos_26.0", 160),
        ("800-53r5_low_macos_26.0", 168),
        ("800-53r5_moderate_macos_26.0", 214),
        ("800-53r5_high_macos_26.0", 223),
        ("800-171_macos_26.0", 178),
        ("cmmc_lvl1_macos_26.0", 88),
        ("cmmc_lvl2_macos_26.0", 215),
        ("cnssi-1253_low_macos_26.0", 248),
        ("cnssi-1253_moderate_macos_26.0", 256),
        ("cnssi-1253_high_macos_26.0", 267),
        ("hicp_lp_macos_26.0", 146),
        ("nlmapgov_base_macos_26.0", 39),
        ("nlmapgov_plus_macos_26.0", 89),
        ("all_rules_macos_26.0", 333),
        ("cis_lvl1_byod_ios_26.0", 26),
        ("cis_lvl2_byod_ios_26.0", 29),
        ("cis_lvl1_enterprise_ios_26.0", 36),
        ("cis_lvl2_enterprise_ios_26.0", 44),
        ("ios_stig_ios_26.0", 84),
        ("800-53r5_low_ios_26.0", 92),
        ("800-53r5_moderate_ios_26.0", 103),
        ("800-53r5_high_ios_26.0", 103),
        ("800-171_ios_26.0", 25),
        ("cisv8_ios_26.0", 56),
        ("cmmc_lvl1_ios_26.0", 55),
        ("cmmc_lvl2_ios_26.0", 107),
        ("cmmc_lvl3_ios_26.0", 106),
        ("cnssi-1253_low_ios_26.0", 98),
        ("cnssi-1253_moderate_ios_26.0", 98),
        ("cnssi-1253_high_ios_26.0", 98),
        ("indigo_base_ios_26.0", 82),
        ("indigo_high_ios_26.0", 124),
        ("nlmapgov_base_ios_26.0", 6),
        ("nlmapgov_plus_ios_26.0", 37),
        ("all_rules_ios_26.0", 155),
        ("visionos_stig_visionos_26.0", 37),
        ("cisv8_visionos_26.0", 37),
        ("800-171_visionos_26.0", 22),
        ("800-53r5_low_visionos_26.0", 48),
        ("800-53r5_moderate_visionos_26.0", 50),
        ("800-53r5_high_visionos_26.0", 50),
        ("cmmc_lvl1_visionos_26.0", 29),
        ("cmmc_lvl2_visionos_26.0", 50),
        ("cmmc_lvl3_visionos_26.0", 46),
        ("cnssi-1253_low_visionos_26.0", 52),
        ("cnssi-1253_moderate_visionos_26.0", 52),
        ("cnssi-1253_high_visionos_26.0", 52),
        ("all_rules_visionos_26.0", 58),
    ] {
        assert_eq!(baselines[id].rules, rules, "{id}");
    }
}

#[test]
fn what_can_be_enforced_is_counted() {
    let Some(folder) = published("the counts of the published 2.0 tree") else {
        return;
    };
    let report = report(&tree(&folder.join("mscp")), Schema::embedded());
    let baselines = by_id(&report);
    for (id, expected) in [
        ("cis_lvl1_macos_26.0", [48, 16, 2, 43, 4, 1]),
        ("cis_lvl2_macos_26.0", [56, 19, 2, 54, 4, 1]),
        ("disa_stig_macos_26.0", [84, 13, 14, 54, 7, 1]),
        ("800-53r5_moderate_macos_26.0", [101, 25, 13, 52, 10, 36]),
        ("cis_lvl1_byod_ios_26.0", [25, 8, 0, 0, 0, 1]),
        ("cis_lvl2_enterprise_ios_26.0", [43, 8, 0, 0, 0, 1]),
    ] {
        let found = baselines[id];
        let counts = [
            found.profile,
            found.declaration,
            found.configuration_file,
            found.fix_only,
            found.check_only,
            found.neither,
        ];
        assert_eq!(counts, expected, "{id}");
    }
}

#[test]
fn conflicts_are_where_they_are_known_to_be() {
    let Some(folder) = published("the conflicts of the published 2.0 tree") else {
        return;
    };
    let report = report(&tree(&folder.join("mscp")), Schema::embedded());
    let with: BTreeMap<&str, Vec<&str>> = report
        .baselines
        .iter()
        .filter(|baseline| !baseline.conflicts.is_empty())
        .map(|baseline| {
            let settings = baseline
                .conflicts
                .iter()
                .map(|conflict| conflict.setting.as_str());
            (baseline.id.as_str(), settings.collect())
        })
        .collect();
    let of = |setting: &str| {
        with.values()
            .filter(|found| found.as_slice() == [setting])
            .count()
    };
    assert_eq!(
        (of("checkCertificateTrust"), of("ForceOnDeviceOnlyTranslation")),
        (6, 14)
    );
    assert_eq!(with.len(), 20);
}

#[test]
fn what_is_known_to_be_wrong_is_reported_and_not_served() {
    let Some(folder) = published("the known mistakes of the published 2.0 tree") else {
        return;
    };
    let tree = tree(&folder.join("mscp"));
    let report = report(&tree, Schema::embedded());
    for rule in [
        "system_settings_critical_update_install_enforce",
        "os_on_device_dictation_enforce",
        "pwpolicy_account_lockout_timeout_enforce",
        "pwpolicy_custom_regex_enforce",
        "os_external_storage_access_defined",
        "os_network_storage_restriction",
        "os_setup_assistant_filevault_enforce",
        "os_video_conferencing_remote_control_disable",
        "os_airplay_incoming_password_require",
    ] {
        let said = report.warnings.iter().find(|note| {
            note.file.ends_with(&format!("/{rule}.yaml")) && note.message.starts_with("not served")
        });
        assert!(said.is_some_and(|note| note.line > 1), "{rule}");
    }
    for rule in [
        "os_sshd_permit_root_login_configure",
        "auth_ssh_password_authentication_disable",
        "os_sshd_channel_timeout_configure",
    ] {
        let said = report.warnings.iter().any(|note| {
            note.file.ends_with(&format!("/{rule}.yaml")) && note.field == "ddm_info.configuration_value"
        });
        assert!(said, "{rule}");
    }
    let baseline = tree.find("cis_lvl1_macos_26.0", None, None).unwrap();
    let resolved = baseline.resolve(&tree);
    let native = resolved.native(&resolved.export(), &Judge::new(Schema::embedded()));
    let lockout = native
        .spec
        .rules
        .iter()
        .find(|rule| rule.id == "pwpolicy_account_lockout_timeout_enforce")
        .unwrap();
    // Its declaration is wrong, its profile is right.
    assert_eq!(lockout.enforce.len(), 1);
    assert!(lockout.enforce[0].profile.is_some() && lockout.unproven.is_none());
    let mail = tree
        .find("800-53r5_low", Some(provost::gitops::mscp::System::Ios), None)
        .unwrap();
    let resolved = mail.resolve(&tree);
    let native = resolved.native(&resolved.export(), &Judge::new(Schema::embedded()));
    let moves = native
        .spec
        .rules
        .iter()
        .find(|rule| rule.id == "os_mail_move_messages_disable")
        .unwrap();
    assert_eq!(moves.unproven.as_ref().unwrap().reason, UnprovenReason::OptIn);
    assert!(moves.enforce.is_empty());
}

#[test]
fn every_baseline_becomes_a_baseline_that_the_policy_engine_takes() {
    let Some(folder) = published("the Baselines made of the published trees") else {
        return;
    };
    for name in ["mscp", "mscp-1x"] {
        let tree = tree(&folder.join(name));
        let (documents, _) = provost::gitops::mscp::documents(&tree, Schema::embedded()).unwrap();
        assert_eq!(documents.len(), tree.baselines().len());
        for document in documents {
            let spec: Arc<BaselineSpec> = serde_json::from_value(document.value["spec"].clone()).unwrap();
            assert_eq!(
                check_baseline(&spec, Schema::embedded()).errors,
                [],
                "{name}: {}",
                document.name
            );
            let size = document.value.to_string().len();
            assert!(size < 1_000_000, "{name}: {} has {size} bytes", document.name);
            assert!(
                spec.rules
                    .iter()
                    .all(|rule| !rule.origins.is_empty() && rule.origins[0].blob.len() == 40)
            );
        }
    }
}

#[test]
fn all_baselines_of_1_x_are_imported_with_all_of_their_rules() {
    let Some(folder) = published("the import of the published 1.x tree") else {
        return;
    };
    let report = report(&tree(&folder.join("mscp-1x")), Schema::embedded());
    assert_eq!(report.errors, []);
    assert_eq!((report.rules, report.baselines.len()), (335, 17));
    let baselines = by_id(&report);
    for (id, rules) in [
        ("cis_lvl1_macos_26.0", 100),
        ("cis_lvl2_macos_26.0", 119),
        ("DISA-STIG_macos_26.0", 165),
        ("800-53r5_high_macos_26.0", 217),
        ("cmmc_lvl1_macos_26.0", 87),
        ("all_rules_macos_26.0", 335),
    ] {
        assert_eq!(baselines[id].rules, rules, "{id}");
    }
    // Three rules name no system where it belongs.
    let silent = report
        .warnings
        .iter()
        .filter(|note| note.message.contains("taken to be for that of the branch"));
    assert_eq!(silent.count(), 3);
}
