//! The table.

/// A number that windlass has reached, and what it is held against.
pub(crate) struct Line {
    what: String,
    windlass: String,
    beside: String,
    reached: String,
    at_most: String,
    verdict: &'static str,
}

/// How a number is written.
pub(crate) type Unit = fn(f64) -> String;

impl Line {
    /// A ratio to another program's number. Without a bound it is only shown.
    pub(crate) fn ratio(
        what: &str,
        unit: Unit,
        windlass: f64,
        (peer, theirs): (&str, f64),
        bound: Option<f64>,
    ) -> Line {
        let ratio = windlass / theirs;
        Line {
            what: what.to_owned(),
            windlass: unit(windlass),
            beside: format!("{peer} {}", unit(theirs)),
            reached: format!("{ratio:.2} x"),
            at_most: bound.map_or(String::new(), |bound| format!("{bound:.2} x")),
            verdict: bound.map_or("", |bound| verdict(ratio, bound)),
        }
    }

    /// A number with a bound of its own.
    pub(crate) fn absolute(what: &str, unit: Unit, reached: f64, bound: f64) -> Line {
        Line {
            what: what.to_owned(),
            windlass: unit(reached),
            beside: String::new(),
            reached: unit(reached),
            at_most: unit(bound),
            verdict: verdict(reached, bound),
        }
    }

    /// The same number of another program, for comparison only.
    pub(crate) fn beside(mut self, peer: &str, theirs: String) -> Line {
        self.beside = format!("{peer} {theirs}");
        self
    }

    /// How much more than another program's number.
    pub(crate) fn more(
        what: &str,
        unit: Unit,
        windlass: f64,
        (peer, theirs): (&str, f64),
        bound: f64,
    ) -> Line {
        let more = windlass - theirs;
        Line {
            what: what.to_owned(),
            windlass: unit(windlass),
            beside: format!("{peer} {}", unit(theirs)),
            reached: format!("{}{}", if more < 0.0 { "-" } else { "+" }, unit(more.abs())),
            at_most: format!("+{}", unit(bound)),
            verdict: verdict(more, bound),
        }
    }

    /// What could not be measured, and why.
    pub(crate) fn missing(what: &str, why: &str) -> Line {
        Line {
            what: what.to_owned(),
            windlass: why.to_owned(),
            beside: String::new(),
            reached: String::new(),
            at_most: String::new(),
            verdict: "missing",
        }
    }
}

fn verdict(reached: f64, bound: f64) -> &'static str {
    if reached <= bound { "ok" } else { "over" }
}

pub(crate) fn seconds(number: f64) -> String {
    format!("{number:.2} s")
}

pub(crate) fn milliseconds(number: f64) -> String {
    format!("{:.1} ms", number * 1000.0)
}

pub(crate) fn mebibytes(number: f64) -> String {
    format!("{:.1} MiB", number / 1048576.0)
}

pub(crate) fn table(lines: &[Line]) -> String {
    let heads = ["what", "windlass", "beside", "reached", "at most", ""].map(str::to_owned);
    let rows: Vec<[String; 6]> = lines.iter().map(cells).collect();
    let rows: Vec<&[String; 6]> = [&heads].into_iter().chain(&rows).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        text.push_str(&format!("{:width$}", row[0], width = widths[0]));
        for (cell, width) in row[1..5].iter().zip(&widths[1..5]) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        text.push_str(&format!("  {}", row[5]));
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

fn cells(line: &Line) -> [String; 6] {
    let Line { what, windlass, beside, reached, at_most, verdict } = line;
    [what, windlass, beside, reached, at_most, &(*verdict).to_owned()].map(Clone::clone)
}
