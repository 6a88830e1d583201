//! A report as people read it.

use std::fmt::Write as _;

use crate::simulator::load::{Measured, Report};

/// What stands between columns.
const GAP: &str = "   ";

/// The columns.
const HEADER: [&str; 8] = [
    "MEASURED",
    "COUNT",
    "PER SECOND",
    "REQUESTS/S",
    "P50 MS",
    "P99 MS",
    "MAX MS",
    "ERRORS",
];

/// The report.
pub(super) fn render(report: &Report) -> String {
    let rows: Vec<[String; 8]> = report.measured.iter().map(row).collect();
    let header = HEADER.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&header]);
        cells
            .filter_map(|row| row.get(column))
            .map(String::len)
            .max()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for row in [&header].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column);
            // Words to the left, numbers to the right.
            if column == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        text += &cells.collect::<Vec<_>>().join(GAP);
        text.push('\n');
    }
    // Writing to memory does not fail.
    let _ = writeln!(
        text,
        "\n{} connections, {} devices",
        report.connections, report.devices
    );
    if let Some(ratio) = report.ratio {
        let _ = writeln!(
            text,
            "{:.0} % of the requests of a server that does nothing",
            ratio * 100.0
        );
    }
    for measured in &report.measured {
        for (error, count) in &measured.errors {
            let _ = writeln!(text, "{}: {count} × {error}", measured.what);
        }
    }
    text
}

fn row(measured: &Measured) -> [String; 8] {
    [
        measured.what.to_owned(),
        grouped(measured.count),
        whole(measured.per_second),
        whole(measured.requests_per_second),
        format!("{:.1}", measured.p50_ms),
        format!("{:.1}", measured.p99_ms),
        format!("{:.1}", measured.max_ms),
        grouped(measured.error_count()),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of requests is neither large nor negative"
)]
fn whole(rate: f64) -> String {
    grouped(rate.round() as u64)
}

/// With commas for the thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_table_with_what_went_wrong_below() {
        let measured = Measured {
            what: "turns",
            seconds: 2.0,
            count: 1_234_567,
            per_second: 617_283.5,
            requests: 1_234_569,
            requests_per_second: 617_284.5,
            p50_ms: 0.25,
            p99_ms: 12.0,
            max_ms: 99.96,
            errors: [("HTTP 503".to_owned(), 2)].into(),
        };
        let report = Report {
            connections: 64,
            devices: 1000,
            measured: vec![measured],
            ratio: Some(0.414),
        };
        insta::assert_snapshot!(render(&report), @r"
        MEASURED       COUNT   PER SECOND   REQUESTS/S   P50 MS   P99 MS   MAX MS   ERRORS
        turns      1,234,567      617,284      617,285      0.2     12.0    100.0        2

        64 connections, 1000 devices
        41 % of the requests of a server that does nothing
        turns: 2 × HTTP 503
        ");
    }
}
