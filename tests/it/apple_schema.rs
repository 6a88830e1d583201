//! Apple's schema from git: the day that Apple publishes a payload type, a GitSource brings it, and content is checked against it.

use kube::ResourceExt as _;
use kube::api::PostParams;
use serde_json::json;

use provost::api::GitSource;

use crate::both;
use crate::world::{Api, SOURCE, Setting, World, condition, eventually, text};

/// As Apple writes its schema.
const SCANNER: &str = "title: Scanner
description: What a scanner may do.
payload:
  payloadtype: com.example.scanner
  supportedOS:
    macOS:
      introduced: '10.7'
payloadkeys:
- key: Brightness
  type: <integer>
  presence: optional
  range:
    min: 1
    max: 10
";

/// By this the schema is newer than the one that ships.
const NEWS: &str = "title: News
payload:
  declarationtype: com.apple.configuration.example
  supportedOS:
    macOS:
      introduced: '99.0'
payloadkeys:
- key: Brightness
  type: <integer>
  presence: optional
";

const PROFILE: &str = "apiVersion: provost.dev/v1alpha1
kind: Profile
metadata:
  name: scanners
spec:
  title: Scanners
  payloads:
    - payloadType: com.example.scanner
      content:
        Brightness: 99
";

both!(a_schema_from_git_counts_from_the_next_start);

/// Waits until a source says this.
async fn says(world: &World, name: &str, status: &str, parts: &[&str]) {
    eventually("the source says so", async || {
        let source = world.api::<GitSource>().get(name).await.map_err(text)?;
        let conditions = source.status.unwrap_or_default().conditions;
        let ready = condition(&conditions, "Ready").ok_or("nothing yet")?;
        let as_expected = ready.status == status && parts.iter().all(|part| ready.message.contains(part));
        if as_expected {
            Ok(())
        } else {
            Err(ready.message.clone())
        }
    })
    .await;
}

async fn create(world: &World, name: &str) {
    let mut spec = serde_json::to_value(world.source_spec()).unwrap();
    spec["path"] = json!("apple");
    spec["format"] = json!("AppleSchema");
    let source = GitSource::new(name, serde_json::from_value(spec).unwrap());
    let sources = world.api::<GitSource>();
    let made = sources.create(&PostParams::default(), &source).await.unwrap();
    assert_eq!(made.name_any(), name);
}

async fn a_schema_from_git_counts_from_the_next_start(api: Api) {
    let mut world = World::start(Setting {
        api,
        options: &["--apple-schema-source", "default/apple"],
        ..Setting::default()
    })
    .await;
    world.write("fleet/scanners.yaml", PROFILE);
    world.write("apple/mdm/profiles/com.example.scanner.yaml", SCANNER);
    world.write("apple/declarative/declarations/configurations/example.yaml", NEWS);
    world.follow().await;
    let revision = world
        .bring_into_force("A payload type that is not known yet")
        .await;
    says(
        &world,
        SOURCE,
        "True",
        &["there is no payload type `com.example.scanner`"],
    )
    .await;

    create(&world, "apple").await;
    let waits = format!("{revision} comes into force when the server starts again: Apple's schema: ");
    says(&world, "apple", "True", &[&waits]).await;
    create(&world, "another").await;
    let alone = "from the GitSource apple in default alone";
    says(&world, "another", "False", &[alone]).await;

    world.server.kill_and_restart().await;
    says(
        &world,
        "apple",
        "True",
        &[&format!("{revision} is in force: Apple's schema: ")],
    )
    .await;
    let refused = ["fleet/scanners.yaml:10:9", "Brightness"];
    says(&world, SOURCE, "False", &refused).await;

    // Mended: the type is known, and the value is one that it takes.
    world.write("fleet/scanners.yaml", &PROFILE.replace("99", "9"));
    let mended = world.bring_into_force("As Apple has it").await;
    says(&world, SOURCE, "True", &[&format!("{mended} is in force")]).await;
    let told = world.look().await;
    let ready = condition(&told.conditions, "Ready").unwrap();
    assert!(
        !ready.message.contains("com.example.scanner"),
        "{}",
        ready.message
    );
}
