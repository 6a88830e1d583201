//! Tables as kubectl prints them: no lines, columns three spaces apart.

use console::measure_text_width;

use super::page::{Style, Tone};
use super::words::clean;

/// What stands between columns.
const GAP: usize = 3;

/// A cell: a text and how it is coloured.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Plain; nothing is shown as `-`.
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self::toned(text, Tone::Plain)
    }

    /// Coloured.
    pub(super) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        let text = clean(text.as_ref());
        Self {
            text: if text.is_empty() { "-".to_owned() } else { text },
            tone,
        }
    }

    /// The status of a condition: good where it holds.
    pub(super) fn status(status: &str) -> Self {
        Self::toned(status, Tone::of_status(status))
    }
}

/// Rows below a header, each line without what is blank at its end.
pub(super) fn render(header: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| measure_text_width(&cell.text)).max();
        let title = header.get(column).map_or(0, |title| title.len());
        widest.unwrap_or_default().max(title)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &[Cell]| {
        let mut blank = 0;
        for (cell, width) in cells.iter().zip(&widths) {
            text.extend(std::iter::repeat_n(' ', blank));
            text.push_str(&style.paint(cell.tone, &cell.text));
            blank = width.saturating_sub(measure_text_width(&cell.text)) + GAP;
        }
        text.push('\n');
    };
    let titles: Vec<Cell> = header
        .iter()
        .map(|title| Cell::toned(title, Tone::Strong))
        .collect();
    line(&titles);
    for row in rows {
        line(row);
    }
    text
}
