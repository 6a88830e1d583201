//! Measures a body before the parser sees it. Nothing here recurses, and nothing allocates more than a small multiple of the body.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::Error;

/// How a binary property list begins.
pub(super) const BINARY_MAGIC: &[u8] = b"bplist00";

/// The deepest nesting of elements that is read. Apple's own messages stay below ten.
pub const DEPTH_LIMIT: usize = 64;

/// The most elements that are read; each costs tens of bytes of memory, however short it is written. A binary property list may also not have
/// more of them than bytes, as one without shared collections never has.
pub const NODE_LIMIT: u64 = 200_000;

/// The most bytes that the strings and data of a binary property list may come to, shared ones counted as often as they are used. A small body
/// may come to less: see [`EXPANSION`].
pub const EXPANDED_LIMIT: u64 = 16 * 1024 * 1024;

/// How many times its own size a binary property list may come to, beyond the first 64 KiB. Writers share the keys of dictionaries, which makes
/// real ones a few times as large.
const EXPANSION: u64 = 16;

/// The trailer at the end of a binary property list, in bytes.
const TRAILER: usize = 32;

/// Counts the depth and the number of elements.
pub(super) fn scan_xml(body: &[u8]) -> Result<(), Error> {
    // Most messages are so short that they need no looking through: each element has a bracket to open it.
    let mut brackets = body.iter().filter(|byte| **byte == b'<');
    if brackets.nth(DEPTH_LIMIT).is_none() {
        return Ok(());
    }
    let mut reader = Reader::from_reader(body);
    // End tags need no comparing here: the parser does it, on what has been found shallow enough.
    reader.config_mut().check_end_names = false;
    let (mut depth, mut nodes) = (0_usize, 0_u64);
    loop {
        let event = reader.read_event().map_err(|source| Error::Parse {
            source: Box::new(source),
        })?;
        match event {
            Event::Start(_) => {
                depth += 1;
                nodes += 1;
            }
            Event::Empty(_) => nodes += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof => return Ok(()),
            _ => {}
        }
        if depth > DEPTH_LIMIT {
            return Err(Error::TooDeep);
        }
        if nodes > NODE_LIMIT {
            return Err(Error::Expands);
        }
    }
}

/// What one object of a binary property list comes to when it is expanded.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    bytes: u64,
    nodes: u64,
    height: usize,
}

/// Where the walk stands with an object.
#[derive(Debug, Clone, Copy)]
enum Mark {
    Unseen,
    /// On the path from the root: meeting it again is a cycle.
    Open,
    Measured(Extent),
}

/// An object whose children are being measured.
struct Frame {
    object: usize,
    children: std::ops::Range<usize>,
    extent: Extent,
}

/// The tables of a binary property list.
struct Binary<'b> {
    /// Everything before the trailer.
    objects: &'b [u8],
    offset_table: usize,
    offset_size: usize,
    reference_size: usize,
    count: usize,
}

/// Measures what a binary property list expands to. Each object is looked at once, however often it is referred to.
pub(super) fn measure_binary(body: &[u8]) -> Result<(), Error> {
    let (binary, root) = Binary::open(body)?;
    let size = body.len() as u64;
    let (nodes, bytes) = (
        size.min(NODE_LIMIT),
        (size * EXPANSION + 64 * 1024).min(EXPANDED_LIMIT),
    );
    let mut marks = vec![Mark::Unseen; binary.count];
    let mut path = Vec::new();
    let mut finished = binary.enter(root, &mut marks, &mut path)?;
    while let Some(frame) = path.last_mut() {
        if let Some(extent) = finished.take() {
            frame.extent.bytes = frame.extent.bytes.saturating_add(extent.bytes);
            frame.extent.nodes = frame.extent.nodes.saturating_add(extent.nodes);
            frame.extent.height = frame.extent.height.max(extent.height + 1);
            if frame.extent.bytes > bytes || frame.extent.nodes > nodes {
                return Err(Error::Expands);
            }
            if path.len() + extent.height > DEPTH_LIMIT {
                return Err(Error::TooDeep);
            }
            continue;
        }
        if frame.children.is_empty() {
            let (object, extent) = (frame.object, frame.extent);
            path.pop();
            if let Some(mark) = marks.get_mut(object) {
                *mark = Mark::Measured(extent);
            }
            finished = Some(extent);
            continue;
        }
        let at = frame.children.start;
        frame.children.start += binary.reference_size;
        let child = binary.integer(at, binary.reference_size, "a reference")?;
        finished = binary.enter(child, &mut marks, &mut path)?;
    }
    Ok(())
}

impl<'b> Binary<'b> {
    /// Reads the trailer; the second value is the root object.
    fn open(body: &'b [u8]) -> Result<(Self, usize), Error> {
        let damaged = |what| Error::Damaged { what };
        let (objects, trailer) = body
            .len()
            .checked_sub(TRAILER)
            .and_then(|at| body.split_at_checked(at))
            .filter(|(objects, _)| objects.len() >= BINARY_MAGIC.len())
            .ok_or_else(|| damaged("the trailer"))?;
        let byte = |at: usize| trailer.get(at).copied().map(usize::from);
        let word = |at: usize| {
            let bytes = trailer.get(at..at + 8)?.try_into().ok()?;
            usize::try_from(u64::from_be_bytes(bytes)).ok()
        };
        let size = |at: usize| byte(at).filter(|size| matches!(size, 1..=4 | 8));
        let offset_size = size(6).ok_or_else(|| damaged("the offset size"))?;
        let reference_size = size(7).ok_or_else(|| damaged("the reference size"))?;
        let count = word(8).ok_or_else(|| damaged("the object count"))?;
        let root = word(16).ok_or_else(|| damaged("the root"))?;
        let offset_table = word(24).ok_or_else(|| damaged("the offset table"))?;
        let fits = count
            .checked_mul(offset_size)
            .and_then(|bytes| bytes.checked_add(offset_table))
            .is_some_and(|end| end <= objects.len());
        if !fits {
            return Err(damaged("the offset table"));
        }
        let binary = Self {
            objects,
            offset_table,
            offset_size,
            reference_size,
            count,
        };
        Ok((binary, root))
    }

    /// The big-endian integer of `size` bytes at `at`.
    fn integer(&self, at: usize, size: usize, what: &'static str) -> Result<usize, Error> {
        at.checked_add(size)
            .and_then(|end| self.objects.get(at..end))
            .map(|bytes| {
                bytes
                    .iter()
                    .fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
            })
            .and_then(|value| usize::try_from(value).ok())
            .ok_or(Error::Damaged { what })
    }

    /// Begins with an object: its extent when that is known at once, else it is put on the path.
    fn enter(
        &self,
        object: usize,
        marks: &mut [Mark],
        path: &mut Vec<Frame>,
    ) -> Result<Option<Extent>, Error> {
        let mark = marks
            .get_mut(object)
            .ok_or(Error::Damaged { what: "a reference" })?;
        match *mark {
            Mark::Measured(extent) => return Ok(Some(extent)),
            Mark::Open => return Err(Error::Cycle),
            Mark::Unseen => {}
        }
        if path.len() >= DEPTH_LIMIT {
            return Err(Error::TooDeep);
        }
        let at = object * self.offset_size + self.offset_table;
        let at = self.integer(at, self.offset_size, "an offset")?;
        let token = self
            .objects
            .get(at)
            .copied()
            .ok_or(Error::Damaged { what: "an offset" })?;
        let leaf = |bytes| Extent {
            bytes,
            nodes: 1,
            height: 0,
        };
        let extent = match token >> 4 {
            // Data and ASCII.
            0x4 | 0x5 => leaf(self.length(at, token)?.0 as u64),
            // UTF-16: at most three bytes of UTF-8 for each unit.
            0x6 => leaf((self.length(at, token)?.0 as u64).saturating_mul(3)),
            0xA | 0xC | 0xD => {
                let (count, first) = self.length(at, token)?;
                let references = if token >> 4 == 0xD { 2 } else { 1 };
                let end = count
                    .checked_mul(self.reference_size)
                    .and_then(|bytes| bytes.checked_mul(references))
                    .and_then(|bytes| first.checked_add(bytes))
                    .filter(|end| *end <= self.objects.len())
                    .ok_or(Error::Damaged { what: "a collection" })?;
                *mark = Mark::Open;
                path.push(Frame {
                    object,
                    children: first..end,
                    extent: leaf(0),
                });
                return Ok(None);
            }
            _ => leaf(8),
        };
        *mark = Mark::Measured(extent);
        Ok(Some(extent))
    }

    /// The length in a token at `at`, and where the content begins.
    fn length(&self, at: usize, token: u8) -> Result<(usize, usize), Error> {
        let short = usize::from(token & 0x0F);
        if short < 0x0F {
            return Ok((short, at + 1));
        }
        let power = self.integer(at + 1, 1, "a length")?;
        let size = 1_usize << (power & 0x03);
        Ok((self.integer(at + 2, size, "a length")?, at + 2 + size))
    }
}
