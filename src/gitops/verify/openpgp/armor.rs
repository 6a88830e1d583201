//! ASCII armor (RFC 9580 §6.2). The checksum is passed over, as §6.1 has it: signatures tell whether the bytes are right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The bytes of every block of a kind, such as `PUBLIC KEY BLOCK`.
///
/// # Errors
/// When there is none, or one is broken.
pub(super) fn blocks(text: &str, kind: &str) -> Result<Vec<Vec<u8>>, String> {
    let (begin, end) = (
        format!("-----BEGIN PGP {kind}-----"),
        format!("-----END PGP {kind}-----"),
    );
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while lines.by_ref().any(|line| line == begin) {
        let mut encoded = String::new();
        let mut in_headers = true;
        loop {
            let line = lines
                .next()
                .ok_or_else(|| format!("the end, `{end}`, is missing"))?;
            if line == end {
                break;
            }
            if in_headers {
                in_headers = !line.is_empty();
            } else if !line.starts_with('=') {
                encoded.push_str(line);
            }
        }
        blocks.push(STANDARD.decode(encoded).map_err(|_| "its base64 is wrong")?);
    }
    if blocks.is_empty() {
        return Err(format!("it has no `{begin}`"));
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_found_and_a_broken_one_is_told() {
        let text = "note\n-----BEGIN PGP X-----\nComment: hello\n\nAAEC\nAw==\n=abcd\n-----END PGP X-----\n-----BEGIN PGP X-----\n\n/w==\n-----END PGP X-----\n";
        assert_eq!(blocks(text, "X").unwrap(), [vec![0, 1, 2, 3], vec![255]]);
        assert!(blocks(text, "Y").unwrap_err().contains("BEGIN PGP Y"));
        let cut = text.rsplit_once("-----END").unwrap().0;
        assert!(blocks(cut, "X").unwrap_err().contains("is missing"));
        assert!(blocks(&text.replace("AAEC", "A*EC"), "X").is_err());
    }
}
