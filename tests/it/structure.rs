//! The shape of `src`: which part may use which, and which crate is at home where.
//!
//! Read from the text of the code, comments, strings and test code left out. A new edge belongs into the table below only
//! with a thought: it can never point down, so there is no circle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The parts of `src` in reading order, and which of those above it each may use. A part is a module with everything below it that is
/// no part of its own.
const PARTS: &[(&str, &str)] = &[
    // What everything speaks of.
    ("clock", ""),
    ("secret", ""),
    ("suggest", ""),
    ("ids", ""),
    ("files", ""),
    ("body", ""),
    ("cache", ""),
    ("bearer", ""),
    ("listener", ""),
    ("telemetry", ""),
    ("expression", "suggest"),
    ("api", ""),
    // Pure.
    ("compliance", "api expression ids suggest"),
    ("policy", "api compliance expression ids suggest"),
    // Apple's messages and the rules of the queue: types and functions. The endpoint that speaks them is further down.
    ("mdm", "api clock compliance ids policy secret suggest"),
    // Ports and their adapters.
    ("push", "clock files secret telemetry"),
    ("gitops", "api ids policy secret suggest telemetry"),
    ("pki", "clock files ids secret"),
    ("store", "api cache compliance files ids mdm pki policy secret"),
    // The endpoint for devices, from the inside out.
    ("mdm::metrics", ""),
    ("mdm::peer", "cache ids pki"),
    ("mdm::signature", "ids mdm::peer pki"),
    ("mdm::seen", "ids store"),
    ("mdm::profile_pass", "ids pki policy store"),
    (
        "mdm::gateway",
        "clock ids mdm mdm::peer mdm::profile_pass mdm::seen mdm::signature policy secret store",
    ),
    (
        "mdm::http",
        "body clock ids mdm mdm::gateway mdm::metrics mdm::peer mdm::profile_pass mdm::signature pki store",
    ),
    ("mdm::proxy", "clock ids mdm::peer pki"),
    ("mdm::serve", "clock listener mdm::peer pki"),
    ("mdm::enqueue", "body clock ids mdm pki secret store"),
    // It answers on the same port as the device endpoint, within the same limits.
    (
        "enrollment",
        "api body clock ids mdm mdm::http pki policy secret store suggest",
    ),
    // The embedded Kubernetes API: it knows no kind of Provost's, only how schemas and selectors are read.
    ("kubeapi", "api bearer body clock files listener pki secret"),
    (
        "controllers",
        "api clock compliance gitops ids mdm policy push secret store telemetry",
    ),
    // The virtual fleet reads the protocol for itself; of the server it has the clock, and what keeps a text out of the log.
    ("simulator", "clock secret telemetry"),
    (
        "app",
        "api bearer clock compliance controllers enrollment files gitops ids kubeapi listener mdm mdm::enqueue mdm::gateway mdm::http mdm::metrics mdm::peer mdm::profile_pass mdm::proxy mdm::seen mdm::serve pki push secret store telemetry",
    ),
    (
        "cli",
        "api app clock compliance controllers enrollment files gitops ids kubeapi mdm::proxy policy push secret simulator suggest telemetry",
    ),
    ("main", "cli"),
];

/// Crates that stay in their rooms, which are modules with all that is below them: what a new version of one of them changes is
/// then found in one place.
const ROOMS: &[(&str, &str)] = &[
    ("kube", "api app cli controllers kubeapi telemetry::chain"),
    // Kubernetes' types, without a client: statuses hold its times and conditions, and git holds its objects.
    (
        "k8s_openapi",
        "api app cli::plugin compliance controllers gitops kubeapi",
    ),
    // Servers: routers where there is something to answer, and one listener below all of them.
    (
        "axum",
        "app body enrollment::http kubeapi listener mdm::enqueue mdm::http mdm::proxy mdm::serve",
    ),
    ("axum_server", "listener"),
    ("tokio_rustls", "listener push simulator"),
    ("rustix", "listener"),
    ("hyper", "cli::socket listener push::http2 simulator"),
    // SQL: the store of the device plane, and that of the embedded Kubernetes API.
    ("rusqlite", "kubeapi::storage store::sqlite"),
    ("git2", "gitops"),
    // The certificate that it takes is made ready where the program is put together.
    ("a2", "app::push push"),
    // Property lists: the codec of the protocol, and profiles, which are written by policy and read by the simulator.
    (
        "plist",
        "enrollment::profile mdm policy::content policy::profile push::request simulator",
    ),
    ("quick_xml", "mdm::plist"),
    // YAML: with the place of each field for people's files, plainly for bodies and files of our own.
    (
        "saphyr_parser",
        "gitops::read kubeapi::decode policy::schema::import",
    ),
    (
        "serde_yaml",
        "api::crds cli::explain cli::frameworks cli::mscp cli::plugin kubeapi policy::schema::import",
    ),
    ("cel", "expression"),
    ("kube_cel", "api::schema"),
    ("schemars", "api kubeapi::openapi"),
    ("json_patch", "kubeapi::patch"),
    // Certificates.
    (
        "rcgen",
        "kubeapi::access kubeapi::serve pki push::request simulator",
    ),
    (
        "x509_parser",
        "gitops::fetch kubeapi::access pki push::certificate push::request",
    ),
    (
        "aws_lc_rs",
        "gitops::fetch gitops::verify pki simulator::identity",
    ),
    ("cbc", "pki::cms"),
    ("der", "enrollment::scep pki"),
    ("des", "pki::cms"),
    // Tokens of service accounts.
    ("jsonwebtoken", "kubeapi::access::tokens"),
    (
        "rustls",
        "enrollment::scep gitops::fetch kubeapi::serve listener main mdm::peer mdm::proxy mdm::serve pki push simulator",
    ),
    // What waits. Whatever is not named here is pure or blocks.
    (
        "tokio",
        "app body cli controllers enrollment::scep kubeapi listener mdm::enqueue mdm::gateway mdm::http mdm::seen push simulator store",
    ),
    ("rand", "clock"),
    (
        "prometheus_client",
        "app::push enrollment::metrics listener mdm::http mdm::metrics telemetry",
    ),
    ("tracing_subscriber", "telemetry"),
    // The command line; options that are a component's own stand beside it.
    ("clap", "cli simulator::enroll simulator::run telemetry::logging"),
    ("anyhow", "app cli"),
    ("indicatif", "cli::progress"),
    ("console", "cli::demo cli::plugin"),
    ("comfy_table", "cli::demo"),
];

/// The words of one table, pair by pair: what may be, and has not been seen yet.
fn pairs(table: &'static [(&str, &str)]) -> BTreeSet<(&'static str, &'static str)> {
    let pairs = table
        .iter()
        .flat_map(|(name, words)| words.split(' ').map(|word| (*name, word)));
    pairs.filter(|(_, word)| !word.is_empty()).collect()
}

#[test]
fn every_part_uses_only_what_stands_above_it() {
    let modules = modules();
    let mut wrong = Vec::new();
    let allowed = pairs(PARTS);
    let mut unused = allowed.clone();
    for module in &modules {
        let from = part_of(&module.path);
        for path in module.paths().iter().filter_map(|path| module.absolute(path)) {
            let to = part_of(&path);
            if from != to && !allowed.contains(&(from, to)) {
                wrong.push(format!(
                    "{}: {from} may not use {to}, and has {}",
                    module.file.display(),
                    path.join("::")
                ));
            }
            unused.remove(&(from, to));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        unused.is_empty(),
        "no longer used, strike them off the table: {unused:?}"
    );
}

#[test]
fn the_table_has_no_circle() {
    for (position, (part, uses)) in PARTS.iter().enumerate() {
        for used in uses.split_terminator(' ') {
            let above = PARTS[..position].iter().any(|(above, _)| *above == used);
            assert!(above, "{part} uses {used}, which does not stand above it");
        }
    }
}

#[test]
fn outside_crates_stay_in_their_rooms() {
    let modules = modules();
    let mut wrong = BTreeSet::new();
    let mut unused = pairs(ROOMS);
    for module in &modules {
        for path in module.paths() {
            let Some((name, rooms)) = ROOMS.iter().find(|(name, _)| path[0] == *name) else {
                continue;
            };
            match rooms.split(' ').find(|room| is_below(&module.path, room)) {
                Some(room) => {
                    unused.remove(&(*name, room));
                }
                None => {
                    wrong.insert(format!("{}: {name} belongs in {rooms}", module.file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", Vec::from_iter(wrong).join("\n"));
    assert!(
        unused.is_empty(),
        "no longer used, strike them off the table: {unused:?}"
    );
}

#[test]
fn code_is_read_as_the_compiler_reads_it() {
    let text = r###"
        //! Speaks of crate::a.
        use crate::b::{self, c::D, e::{F, G as H}};
        #[cfg(test)]
        use crate::tests::only;
        fn f<'a>(x: &'a str) -> char { /* crate::g */ let _ = "crate::h\""; let _ = r##"crate::"#i"##; '"' }
        #[cfg(test)]
        mod tests { fn g() { crate::j::k() } }
        fn l() -> crate::m::N { super::super::o::p(); q::<R>::s(http::t) }
    "###;
    let module = Module {
        file: PathBuf::from("x/y.rs"),
        path: vec!["x".into(), "y".into()],
        tokens: tokens(text),
    };
    let paths: Vec<_> = module.paths().iter().map(|path| path.join("::")).collect();
    for expected in [
        "crate::b::self",
        "crate::b::c::D",
        "crate::b::e::F",
        "crate::b::e::G",
        "crate::m::N",
        "super::super::o::p",
        "http::t",
    ] {
        assert!(
            paths.iter().any(|path| path == expected),
            "{expected} in {paths:?}"
        );
    }
    for hidden in ["a", "tests", "g", "h", "i", "j"] {
        assert!(
            !paths
                .iter()
                .any(|path| path.starts_with(&format!("crate::{hidden}"))),
            "{hidden}"
        );
    }
    assert_eq!(
        module.absolute(&["super", "super", "o", "p"].map(String::from)),
        Some(vec!["o".into(), "p".into()])
    );
}

/// The part that a module or an item belongs to: the longest in the table that it is, or is below.
fn part_of(path: &[String]) -> &'static str {
    PARTS
        .iter()
        .map(|(part, _)| *part)
        .filter(|part| is_below(path, part))
        .max_by_key(|part| part.len())
        .unwrap_or_else(|| panic!("{} is no part that the table knows", path.join("::")))
}

fn is_below(path: &[String], ancestor: &str) -> bool {
    let mut path = path.iter();
    ancestor
        .split("::")
        .all(|segment| path.next().is_some_and(|own| own == segment))
}

/// A source file, without its test code.
struct Module {
    file: PathBuf,
    path: Vec<String>,
    tokens: Vec<String>,
}

impl Module {
    /// Every path of two segments or more, those of `use` trees written out.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            let starts =
                is_name(&self.tokens[at]) && self.tokens.get(at + 1).is_some_and(|next| next == "::");
            if starts {
                at = self.tree(at, &[], &mut paths);
            } else {
                at += 1;
            }
        }
        paths
    }

    /// Reads a path or a tree of paths below `prefix` and returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], paths: &mut Vec<Vec<String>>) -> usize {
        let token = |at: usize| self.tokens.get(at).map_or("", String::as_str);
        let mut path = prefix.to_vec();
        while is_name(token(at)) || token(at) == "*" {
            path.push(token(at).to_owned());
            at += 1;
            if token(at) != "::" {
                paths.push(path);
                return at;
            }
            at += 1;
        }
        if token(at) != "{" {
            // The path goes on with generic arguments, which are read for themselves.
            paths.push(path);
            return at;
        }
        at += 1;
        while !matches!(token(at), "}" | "") {
            let end = self.tree(at, &path, paths);
            at = if token(end) == "as" { end + 2 } else { end };
            // A comma, or whatever is no part of a tree.
            at += usize::from(token(at) != "}");
        }
        at + 1
    }

    /// The path from the root of the crate, of a path that names an own module.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        match path.first()?.as_str() {
            "crate" | "provost" => Some(path[1..].to_vec()),
            "super" => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                let base = &self.path[..self.path.len().checked_sub(up)?];
                Some([base, &path[up..]].concat())
            }
            _ => None,
        }
    }
}

/// Every module of the package but the tests, and the program.
fn modules() -> Vec<Module> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = Vec::new();
    collect(&src.join("lib.rs"), &src, &[], &mut modules);
    // The root only declares; who uses whom begins below it.
    modules.remove(0);
    collect(&src.join("main.rs"), &src, &["main".to_owned()], &mut modules);
    assert!(modules.len() > 100, "only {} modules were found", modules.len());
    modules
}

fn collect(file: &Path, folder: &Path, path: &[String], modules: &mut Vec<Module>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let tokens = tokens(&text);
    let children: Vec<String> = tokens
        .windows(3)
        .filter(|window| window[0] == "mod" && window[2] == ";")
        .map(|window| window[1].clone())
        .collect();
    modules.push(Module {
        file: file.to_owned(),
        path: path.to_vec(),
        tokens,
    });
    for child in children {
        let folder = folder.join(&child);
        let beside = folder.with_extension("rs");
        let file = if beside.is_file() {
            beside
        } else {
            folder.join("mod.rs")
        };
        collect(&file, &folder, &[path, &[child]].concat(), modules);
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names and marks of a source text. Comments, texts and everything under `#[cfg(test)]` are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut all: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = length_of_text(rest).unwrap_or_else(|| {
            let name = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                _ if name > 0 => name,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                all.push(&rest[..length]);
            }
            length
        });
        rest = &rest[length..];
    }
    let mut kept = Vec::new();
    let mut at = 0;
    while at < all.len() {
        if all[at..].starts_with(&["#", "[", "cfg", "(", "test", ")", "]"]) {
            at = after_item(&all, at + 7);
        } else {
            kept.push(all[at].to_owned());
            at += 1;
        }
    }
    kept
}

/// How long the comment, the text, the character or the lifetime is that the source goes on with, if it does.
fn length_of_text(rest: &str) -> Option<usize> {
    let until = |skip: usize, end: &str| {
        Some(
            rest[skip..]
                .find(end)
                .map_or(rest.len(), |at| skip + at + end.len()),
        )
    };
    if rest.starts_with("//") {
        return until(0, "\n");
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    let prefix = rest
        .find(|c| !matches!(c, 'b' | 'c' | 'r'))
        .filter(|prefix| *prefix <= 2)?;
    let quoted = &rest[prefix..];
    if rest[..prefix].ends_with('r') {
        let hashes = quoted.find(|c| c != '#')?;
        let end = format!("\"{}", &quoted[..hashes]);
        return quoted[hashes..]
            .starts_with('"')
            .then(|| until(prefix + hashes + 1, &end))?;
    }
    let quote = quoted.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut characters = quoted.char_indices().skip(1);
    if quote == '\'' && !quoted[1..].starts_with('\\') && quoted.chars().nth(2).is_none_or(|c| c != '\'') {
        // A lifetime.
        return Some(prefix + 1);
    }
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                characters.next();
            }
            _ if c == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Where the item that begins at `at` ends: behind its semicolon or its block.
fn after_item(tokens: &[&str], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match *token {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *token == "}" {
                    break;
                }
            }
            ";" if depth == 0 => break,
            _ => {}
        }
    }
    at
}
