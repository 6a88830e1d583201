//! What a commit or an annotated tag says, and which of its bytes its signature is over (git's `signature-format`). Pure.

use super::MAXIMUM_OBJECT;

const SIGNATURE_HEADER: &[u8] = b"gpgsig";
/// How the signature at the end of a tag begins.
const TAG_SIGNATURES: [&[u8]; 2] = [b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN SSH SIGNATURE-----"];

/// A commit or a tag, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// What is signed.
    pub(super) payload: Vec<u8>,
    /// The signature, armored; empty where there is none.
    pub(super) signature: Vec<u8>,
    /// The headers that are signed, in their order; those with further lines by their first.
    headers: Vec<(String, String)>,
}

impl Object {
    /// A commit. Its signature is a header of its own, with further lines that begin with a space.
    pub(super) fn commit(raw: &[u8]) -> Result<Self, &'static str> {
        let (head, message) = split(raw)?;
        let (mut payload, mut signature) = (Vec::with_capacity(raw.len()), Vec::new());
        let mut in_signature = false;
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            if line.first() == Some(&b' ') && in_signature {
                signature.extend_from_slice(line.get(1..).unwrap_or_default());
                continue;
            }
            in_signature = line.starts_with(SIGNATURE_HEADER);
            if !in_signature {
                payload.extend_from_slice(line);
                continue;
            }
            if !signature.is_empty() {
                return Err("it has two signatures");
            }
            let value = line.strip_prefix(b"gpgsig ".as_slice());
            signature.extend_from_slice(value.ok_or("it has a signature for another kind of repository")?);
        }
        payload.extend_from_slice(message);
        Self::of(payload, signature)
    }

    /// An annotated tag. Its signature is the end of its message.
    pub(super) fn tag(raw: &[u8]) -> Result<Self, &'static str> {
        let (head, _) = split(raw)?;
        if head
            .split(|byte| *byte == b'\n')
            .any(|line| line.starts_with(SIGNATURE_HEADER))
        {
            return Err("it has a signature for another kind of repository");
        }
        // The last one that begins a line: what stands before it is the message, whatever that looks like.
        let mut begins = None;
        let mut at = 0;
        for line in raw.split_inclusive(|byte| *byte == b'\n') {
            if at >= head.len() && TAG_SIGNATURES.iter().any(|begin| line.starts_with(begin)) {
                begins = Some(at);
            }
            at += line.len();
        }
        let (payload, signature) = raw.split_at(begins.unwrap_or(raw.len()));
        Self::of(payload.to_vec(), signature.to_vec())
    }

    fn of(payload: Vec<u8>, signature: Vec<u8>) -> Result<Self, &'static str> {
        let (head, _) = split(&payload)?;
        let headers = head
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && line.first() != Some(&b' '))
            .map(|line| {
                let line = String::from_utf8_lossy(line);
                let (name, value) = line.split_once(' ').unwrap_or((&line, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect();
        Ok(Self {
            payload,
            signature,
            headers,
        })
    }

    /// The value of a header that there is exactly once.
    pub(super) fn only(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value.as_str())
    }

    /// The e-mail address in a header that names a person.
    pub(super) fn email(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.only(name)?.rsplit_once('<')?;
        Some(rest.split_once('>')?.0)
    }
}

/// Headers, with the empty line after them left to the message.
fn split(raw: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if raw.len() > MAXIMUM_OBJECT {
        return Err("it is larger than a megabyte");
    }
    if raw.contains(&0) {
        return Err("it holds a zero byte");
    }
    let end = raw
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(raw.len(), |at| at + 1);
    Ok(raw.split_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &[u8] = b"tree 1\nauthor A <a@example.com> 1 +0000\ncommitter C <c@example.com> 1 +0000\ngpgsig -----BEGIN X-----\n abc\n -----END X-----\nencoding x\n\nmessage\n\ngpgsig not one\n";

    #[test]
    fn the_signature_of_a_commit_is_over_everything_else() {
        let commit = Object::commit(COMMIT).unwrap();
        assert_eq!(commit.signature, b"-----BEGIN X-----\nabc\n-----END X-----\n");
        let rest: &[u8] = b"tree 1\nauthor A <a@example.com> 1 +0000\ncommitter C <c@example.com> 1 +0000\nencoding x\n\nmessage\n\ngpgsig not one\n";
        assert_eq!(commit.payload, rest);
        assert_eq!(
            (commit.email("author"), commit.only("tree")),
            (Some("a@example.com"), Some("1"))
        );
        assert_eq!(Object::commit(rest).unwrap().signature, b"");
    }

    #[test]
    fn what_git_does_not_write_is_refused() {
        let twice = b"tree 1\ngpgsig a\ngpgsig b\n\nm";
        assert_eq!(Object::commit(twice), Err("it has two signatures"));
        let other = b"tree 1\ngpgsig-sha256 a\n b\n\nm";
        assert!(Object::commit(other).is_err());
        assert!(Object::commit(b"tree 1\0\n\nm").is_err());
        assert!(Object::commit(&vec![b'x'; MAXIMUM_OBJECT + 1]).is_err());
        let two_authors = Object::commit(b"tree 1\nauthor A <a@x> 1 +0\nauthor B <b@x> 1 +0\n\nm").unwrap();
        assert_eq!(two_authors.email("author"), None);
    }

    #[test]
    fn the_signature_of_a_tag_is_its_end() {
        let raw = b"object 1\ntype commit\ntag v1\ntagger T <t@example.com> 1 +0000\n\nmessage\n-----BEGIN PGP SIGNATURE-----\nabc\n";
        let tag = Object::tag(raw).unwrap();
        assert_eq!(tag.signature, b"-----BEGIN PGP SIGNATURE-----\nabc\n");
        assert!(tag.payload.ends_with(b"message\n"));
        assert_eq!(
            (tag.only("tag"), tag.email("tagger")),
            (Some("v1"), Some("t@example.com"))
        );
    }
}
