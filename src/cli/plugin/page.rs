//! Pages for people: headings, and fields with a name before them. Colour only where somebody looks.

use std::io::IsTerminal as _;

use console::{Style as Ansi, Term, measure_text_width};

use super::words::clean;

/// How wide a page is where there is no terminal.
const PAPER: usize = 100;
/// The narrowest page that is tried.
const NARROWEST: usize = 40;
/// The room for the names of fields.
const LABEL: usize = 14;

/// How to print on what is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct Style {
    /// Whether to colour.
    pub(in crate::cli) colour: bool,
    /// The columns there are.
    pub(in crate::cli) width: usize,
}

impl Style {
    /// For standard output: coloured on a terminal, unless the environment asks for none (`NO_COLOR`).
    pub(in crate::cli) fn of_stdout() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = if terminal {
            usize::from(Term::stdout().size().1).max(NARROWEST)
        } else {
            PAPER
        };
        Self {
            colour: terminal && !unwanted,
            width,
        }
    }

    /// A text in a tone.
    pub(in crate::cli) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || tone == Tone::Plain {
            return text.to_owned();
        }
        let ansi = Ansi::new().force_styling(true);
        let ansi = match tone {
            Tone::Plain => ansi,
            Tone::Good => ansi.green(),
            Tone::Bad => ansi.red(),
            Tone::Unsure => ansi.yellow(),
            Tone::Quiet => ansi.dim(),
            Tone::Strong => ansi.bold(),
        };
        ansi.apply_to(text).to_string()
    }
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Tone {
    Plain,
    Good,
    Bad,
    Unsure,
    Quiet,
    Strong,
}

impl Tone {
    /// Of a condition's status.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "True" => Self::Good,
            "False" => Self::Bad,
            "Unknown" => Self::Unsure,
            _ => Self::Plain,
        }
    }
}

/// A page as it grows.
#[derive(Debug)]
pub(in crate::cli) struct Page {
    style: Style,
    text: String,
}

impl Page {
    pub(in crate::cli) const fn new(style: Style) -> Self {
        Self {
            style,
            text: String::new(),
        }
    }

    /// Begins a part of the page.
    pub(in crate::cli) fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.style.paint(Tone::Strong, &clean(text)));
        self.text.push('\n');
    }

    /// A field; nothing where there is no value.
    pub(in crate::cli) fn field(&mut self, label: &str, value: &str) {
        self.toned(label, Tone::Plain, value);
    }

    /// A field in a tone.
    pub(in crate::cli) fn toned(&mut self, label: &str, tone: Tone, value: &str) {
        let value = clean(value);
        if value.trim().is_empty() {
            return;
        }
        let room = self.style.width.saturating_sub(LABEL + 2).max(NARROWEST / 2);
        let mut label = clean(label);
        for line in wrapped(&value, room) {
            let blank = LABEL.saturating_sub(measure_text_width(&label)).max(1);
            self.text.push_str("  ");
            self.text.push_str(&self.style.paint(Tone::Quiet, &label));
            self.text.extend(std::iter::repeat_n(' ', blank));
            self.text.push_str(&self.style.paint(tone, &line));
            self.text.push('\n');
            label.clear();
        }
    }

    /// An item of a list.
    pub(in crate::cli) fn item(&mut self, text: &str) {
        let room = self.style.width.saturating_sub(4).max(NARROWEST / 2);
        let mut mark = "- ";
        for line in wrapped(&clean(text), room) {
            self.line(&format!("{mark}{line}"));
            mark = "  ";
        }
    }

    /// A ready line, such as of a bar.
    pub(in crate::cli) fn line(&mut self, line: &str) {
        self.text.push_str("  ");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The page.
    pub(in crate::cli) fn finish(self) -> String {
        self.text
    }
}

/// A text in lines of so many columns, broken at spaces; a longer word has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if measure_text_width(line) + 1 + measure_text_width(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// How many columns a bar has.
const BAR: i64 = 40;

/// A bar: each part has its mark and its tone, and at least one column if it is anything at all.
pub(super) fn bar(parts: &[(i64, char, Tone)], style: Style) -> String {
    let total: i64 = parts
        .iter()
        .map(|(count, ..)| (*count).max(0))
        .fold(0, i64::saturating_add);
    if total == 0 {
        return String::new();
    }
    let mut columns: Vec<i64> = parts
        .iter()
        .map(|(count, ..)| match (*count).max(0) {
            0 => 0,
            count => i64::try_from(i128::from(count) * i128::from(BAR) / i128::from(total))
                .unwrap_or(BAR)
                .max(1),
        })
        .collect();
    // What rounding took or gave is the largest part's.
    let difference = BAR - columns.iter().sum::<i64>();
    if let Some(largest) = columns.iter_mut().max() {
        *largest += difference;
    }
    parts
        .iter()
        .zip(columns)
        .map(|((_, mark, tone), columns)| {
            let part: String =
                std::iter::repeat_n(*mark, usize::try_from(columns).unwrap_or_default()).collect();
            if part.is_empty() {
                part
            } else {
                style.paint(*tone, &part)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style {
        colour: false,
        width: 50,
    };

    #[test]
    fn a_bar_shows_even_a_small_part() {
        let parts = |pass, fail| [(pass, '#', Tone::Good), (fail, '!', Tone::Bad)];
        assert_eq!(bar(&parts(1000, 1), PLAIN), format!("{}!", "#".repeat(39)));
        assert_eq!(bar(&parts(0, 0), PLAIN), "");
        assert_eq!(bar(&parts(i64::MAX, i64::MAX), PLAIN).len(), 40);
        let colourful = Style {
            colour: true,
            width: 50,
        };
        assert!(bar(&parts(1, 1), colourful).contains("\u{1b}[31m"));
    }

    #[test]
    fn long_values_are_wrapped_and_nothing_moves_the_cursor() {
        let mut page = Page::new(PLAIN);
        page.heading("Rule");
        page.field("Title", "The firewall is on and stays on whatever people do");
        page.field("Empty", "");
        page.field("Evil", "a\u{1b}[2Jb\nc");
        let expected = "\
Rule
  Title         The firewall is on and stays on
                whatever people do
  Evil          a\u{fffd}[2Jb c
";
        assert_eq!(page.finish(), expected);
    }
}
