//! NIST SP 800-53 revision 5: numbers of controls and enhancements. Withdrawn numbers are among them: what names one is not a slip.

use super::{About, with};
use crate::compliance::frameworks::Framework;

/// A family: its letters, its title, and the greatest enhancement of each of its controls, from the first.
type Family = (&'static str, &'static str, &'static [usize]);

const FAMILIES: [Family; 20] = [
    (
        "AC",
        "Access Control",
        &[
            0, 13, 15, 32, 0, 10, 4, 0, 4, 0, 1, 3, 0, 1, 0, 10, 10, 5, 5, 5, 2, 0, 0, 2, 0,
        ],
    ),
    ("AT", "Awareness and Training", &[0, 6, 5, 0, 0, 0]),
    (
        "AU",
        "Audit and Accountability",
        &[0, 4, 3, 1, 5, 10, 2, 2, 7, 5, 1, 4, 3, 3, 0, 3],
    ),
    (
        "CA",
        "Assessment, Authorization, and Monitoring",
        &[0, 3, 7, 0, 1, 2, 6, 3, 1],
    ),
    (
        "CM",
        "Configuration Management",
        &[0, 7, 8, 2, 7, 4, 9, 9, 1, 1, 3, 1, 0, 0],
    ),
    (
        "CP",
        "Contingency Planning",
        &[0, 8, 2, 5, 0, 3, 6, 5, 8, 6, 0, 0, 0],
    ),
    (
        "IA",
        "Identification and Authentication",
        &[0, 13, 4, 9, 18, 0, 0, 6, 2, 0, 0, 6, 3],
    ),
    ("IR", "Incident Response", &[0, 3, 3, 15, 1, 3, 2, 1, 4, 0]),
    ("MA", "Maintenance", &[0, 2, 6, 7, 5, 3, 0]),
    ("MP", "Media Protection", &[0, 2, 0, 2, 4, 8, 2, 4]),
    (
        "PE",
        "Physical and Environmental Protection",
        &[
            0, 3, 8, 0, 3, 4, 0, 3, 2, 1, 2, 1, 4, 2, 1, 0, 0, 1, 1, 0, 0, 0, 0,
        ],
    ),
    ("PL", "Planning", &[0, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0]),
    (
        "PM",
        "Program Management",
        &[
            0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
        ],
    ),
    ("PS", "Personnel Security", &[0, 0, 4, 2, 0, 3, 0, 0, 0]),
    (
        "PT",
        "Personally Identifiable Information Processing and Transparency",
        &[0, 2, 2, 3, 2, 2, 2, 0],
    ),
    ("RA", "Risk Assessment", &[0, 1, 4, 0, 11, 0, 0, 0, 0, 0]),
    (
        "SA",
        "System and Services Acquisition",
        &[
            0, 0, 3, 12, 5, 0, 0, 33, 8, 7, 9, 15, 0, 1, 13, 0, 9, 2, 4, 0, 1, 1, 0, 0,
        ],
    ),
    (
        "SC",
        "System and Communications Protection",
        &[
            0, 2, 5, 2, 3, 0, 29, 5, 0, 0, 1, 6, 4, 0, 4, 3, 0, 5, 0, 2, 1, 0, 5, 0, 0, 1, 0, 3, 1, 5, 3, 1,
            0, 3, 0, 2, 1, 0, 2, 4, 0, 5, 0, 0, 2, 0, 0, 1, 0, 0, 0,
        ],
    ),
    (
        "SI",
        "System and Information Integrity",
        &[
            0, 7, 10, 25, 1, 3, 17, 3, 0, 6, 0, 3, 5, 3, 0, 0, 0, 5, 8, 0, 0, 0, 0,
        ],
    ),
    (
        "SR",
        "Supply Chain Risk Management",
        &[0, 1, 3, 4, 2, 1, 0, 0, 1, 0, 3, 0],
    ),
];

pub(super) fn framework() -> Framework {
    let about = About {
        id: "800-53r5",
        title: "NIST SP 800-53, security and privacy controls",
        version: "revision 5, release 5.2.0",
        source: "https://doi.org/10.6028/NIST.SP.800-53r5",
        note: "Titles are those of the families.",
    };
    let mut controls = Vec::new();
    for (letters, title, enhancements) in &FAMILIES {
        for (n, most) in enhancements.iter().enumerate() {
            let control = format!("{letters}-{}", n + 1);
            let enhanced = (1..=*most).map(|enhancement| (format!("{control}({enhancement})"), *title));
            controls.push((control.clone(), *title));
            controls.extend(enhanced);
        }
    }
    with(about, controls)
}
