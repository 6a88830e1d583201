//! The right to enrol: who may come, once, and what an invitation brings along.

use kube::ResourceExt as _;
use kube::api::ListParams;
use provost::api::{Device, names};
use provost::clock::{Clock as _, SystemClock};
use serde_json::json;

use crate::both;
use crate::world::{Api, NAMESPACE, World, eventually, provost, text};

both!(
    a_device_appears_in_the_fleet_and_with_the_labels_of_its_invitation,
    an_invitation_is_good_once,
    an_invitation_for_one_device_is_good_for_no_other,
    an_invitation_expires,
    an_invitation_that_cannot_be_made_says_why,
);

async fn a_device_appears_in_the_fleet_and_with_the_labels_of_its_invitation(api: Api) {
    let mut world = World::on(api).await;
    world.namespace("studio").await;
    let mut invitations = world
        .invite(1, "studio", "team=design,example.com/site=north")
        .await;
    invitations.extend(world.invite(1, NAMESPACE, "").await);
    for invitation in &invitations {
        let keys: Vec<&String> = invitation.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["challenge", "expiresAt", "profile", "url"]);
        assert!(
            invitation["url"]
                .as_str()
                .unwrap()
                .starts_with(&world.server.ready.mdm)
        );
    }
    world.hand_out(&invitations).await;
    let studio: kube::Api<Device> = kube::Api::namespaced(world.client.clone(), "studio");
    let device = eventually("the device appears", async || {
        let found = studio.list(&ListParams::default()).await.map_err(text)?;
        found
            .items
            .into_iter()
            .find(|device| {
                let status = device.status.as_ref();
                status.is_some_and(|status| status.enrollment_id.is_some())
            })
            .ok_or_else(|| "no device that has been told how it stands".to_owned())
    })
    .await;
    let labels = device.labels();
    assert_eq!(
        (labels["team"].as_str(), labels["example.com/site"].as_str()),
        ("design", "north")
    );
    let status = device.status.clone().unwrap();
    assert_eq!(
        labels[names::PLATFORM_LABEL],
        status.platform.unwrap().to_string()
    );
    assert_eq!(device.name_any(), status.enrollment_id.unwrap().to_lowercase());
    eventually("the other appears elsewhere", async || {
        let found = world.devices().await?;
        if found.len() == 1 {
            Ok(())
        } else {
            Err(format!("{:?}", found.keys()))
        }
    })
    .await;
    assert_eq!(studio.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

async fn an_invitation_is_good_once(api: Api) {
    let mut world = World::on(api).await;
    let invitation = world.invite(1, NAMESPACE, "").await;
    world.hand_out(&invitation).await;
    world.simulator.reaches("enrolled", 1).await;
    world.hand_out(&invitation).await;
    let refused = world.simulator.happened("refused", 1).await;
    assert!(
        refused[0]["reason"].as_str().unwrap().contains("403"),
        "{refused:?}"
    );
    assert_eq!(world.simulator.number("enrolled"), 1);
}

async fn an_invitation_for_one_device_is_good_for_no_other(api: Api) {
    let mut world = World::on(api).await;
    let udid = "0A1B2C3D-0000-4000-8000-00000000ABCD";

    // For another UDID: no certificate.
    let mut bound = world
        .invite_with(&["--namespace", NAMESPACE, "--udid", udid])
        .await
        .remove(0);
    world.hand_out(std::slice::from_ref(&bound)).await;
    let refused = world.simulator.happened("refused", 1).await;
    assert!(
        refused[0]["reason"].as_str().unwrap().contains("403"),
        "{refused:?}"
    );
    // The attempt has not used it up.
    bound["udid"] = json!(udid);
    world.hand_out(&[bound]).await;
    eventually("the device that is meant enrols", async || {
        let found = world.devices().await?;
        if found.contains_key(&udid.to_lowercase()) {
            Ok(())
        } else {
            Err(format!("{:?}", found.keys()))
        }
    })
    .await;

    // For another serial number: it shows at Authenticate.
    let bound = world
        .invite_with(&["--namespace", NAMESPACE, "--serial", "C02XG0THJGH5"])
        .await
        .remove(0);
    world.hand_out(std::slice::from_ref(&bound)).await;
    world.simulator.reaches("retries", 1).await;
    let mut meant = world
        .invite_with(&["--namespace", NAMESPACE, "--serial", "C02XG0THJGH5"])
        .await
        .remove(0);
    meant["serial"] = json!("C02XG0THJGH5");
    world.hand_out(&[meant]).await;
    eventually("the device that is meant enrols", async || {
        let found = world.devices().await?;
        let serials: Vec<_> = found
            .values()
            .filter_map(|device| device.status.as_ref()?.serial_number.clone())
            .collect();
        assert!(found.len() <= 2, "the stranger is among {:?}", found.keys());
        if serials.iter().any(|serial| serial == "C02XG0THJGH5") {
            Ok(())
        } else {
            Err(format!("{serials:?}"))
        }
    })
    .await;
}

async fn an_invitation_expires(api: Api) {
    let mut world = World::on(api).await;
    let invitation = world
        .invite_with(&["--namespace", NAMESPACE, "--expires-in", "1s"])
        .await;
    let expires: jiff::Timestamp = invitation[0]["expiresAt"].as_str().unwrap().parse().unwrap();
    eventually("it has expired", async || {
        let now = SystemClock.now();
        if now > expires {
            Ok(())
        } else {
            Err(format!("{now} is before {expires}"))
        }
    })
    .await;
    world.hand_out(&invitation).await;
    let refused = world.simulator.happened("refused", 1).await;
    assert!(
        refused[0]["reason"].as_str().unwrap().contains("403"),
        "{refused:?}"
    );
}

async fn an_invitation_that_cannot_be_made_says_why(api: Api) {
    let world = World::on(api).await;
    let data_dir = world.server.data_dir().to_str().unwrap();
    let nowhere = world.path("nowhere");
    for (args, says) in [
        (vec!["-n", "nowhere"], "kubectl create namespace nowhere"),
        (vec!["-n", "Not A Name"], "--namespace"),
        (vec!["-n", NAMESPACE, "--labels", "team"], "KEY=VALUE"),
        (vec!["-n", NAMESPACE, "--labels", "team=a b"], "a b"),
        (vec!["-n", NAMESPACE, "--expires-in", "soon"], "--expires-in"),
        (vec!["-n", NAMESPACE, "--expires-in", "3000h"], "90 days"),
        (vec!["-n", NAMESPACE, "--count", "0"], "count"),
        (
            vec!["-n", NAMESPACE, "--count", "2", "--serial", "C02XG0THJGH5"],
            "--serial",
        ),
        (vec!["-n", NAMESPACE, "--udid", "../../etc"], "--udid"),
        (
            vec!["-n", NAMESPACE, "--data-dir", nowhere.to_str().unwrap()],
            "provost up --data-dir",
        ),
        (vec![], "--namespace"),
    ] {
        let mut command = vec!["enroll", "invite", "-o", "json"];
        if !args.contains(&"--data-dir") {
            command.extend(["--data-dir", data_dir]);
        }
        command.extend(&args);
        let said = provost(&command).await;
        assert!(
            !said.success && said.stdout.is_empty(),
            "{args:?}: {}",
            said.stdout
        );
        assert!(said.stderr.contains(says), "{args:?}: {}", said.stderr);
    }
    let help = provost(&["enroll", "invite", "--help"]).await;
    for option in [
        "--namespace",
        "--serial",
        "--udid",
        "--labels",
        "--expires-in",
        "--count",
        "--output",
        "--data-dir",
    ] {
        assert!(
            help.success && help.stdout.contains(option),
            "{option}: {}",
            help.stdout
        );
    }
}
