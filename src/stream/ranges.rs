use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Which bytes of a blob are there: ranges that neither touch nor overlap, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<u64>>);

/// The form in which ranges are kept beside an unfinished blob.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    size: u64,
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    /// The ranges of `record`, or none if it is for another size or makes no sense.
    pub(crate) fn from_record(record: &Record, size: u64) -> Ranges {
        let mut ranges = Ranges::default();
        let fits = |&(start, end): &(u64, u64)| start < end && end <= size;
        if record.size == size && record.ranges.iter().all(fits) {
            record.ranges.iter().for_each(|&(start, end)| ranges.insert(start..end));
        }
        ranges
    }

    pub(crate) fn to_record(&self, size: u64) -> Record {
        Record { size, ranges: self.0.iter().map(|range| (range.start, range.end)).collect() }
    }

    pub(crate) fn insert(&mut self, new: Range<u64>) {
        if new.is_empty() {
            return;
        }
        let first = self.0.partition_point(|range| range.end < new.start);
        let after = self.0.partition_point(|range| range.start <= new.end);
        let touched = &self.0[first..after];
        let start = touched.first().map_or(new.start, |range| range.start.min(new.start));
        let end = touched.last().map_or(new.end, |range| range.end.max(new.end));
        self.0.splice(first..after, std::iter::once(start..end));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// How many bytes are there without a gap from the start.
    pub(crate) fn prefix(&self) -> u64 {
        self.0.first().filter(|range| range.start == 0).map_or(0, |range| range.end)
    }

    /// After the last byte that is there.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.end)
    }

    /// How many bytes are there in all.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// What is not there, of `size` bytes.
    pub(crate) fn missing(&self, size: u64) -> Vec<Range<u64>> {
        let starts = std::iter::once(0).chain(self.0.iter().map(|range| range.end));
        let ends = self.0.iter().map(|range| range.start).chain(std::iter::once(size));
        std::iter::zip(starts, ends)
            .map(|(start, end)| start..end)
            .filter(|gap| !gap.is_empty())
            .collect()
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of one range are meant")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(inserted: &[Range<u64>], expected: &[Range<u64>], missing_of_10: &[Range<u64>]) {
        let mut ranges = Ranges::default();
        inserted.iter().cloned().for_each(|range| ranges.insert(range));
        assert_eq!(ranges.0, expected);
        assert_eq!(ranges.missing(10), missing_of_10);
        assert_eq!(Ranges::from_record(&ranges.to_record(10), 10), ranges);
    }

    #[test]
    fn ranges_merge_where_they_touch() {
        check(&[], &[], &[0..10]);
        check(&[0..10], &[0..10], &[]);
        check(&[0..2, 4..6], &[0..2, 4..6], &[2..4, 6..10]);
        check(&[4..6, 0..2, 2..4], &[0..6], &[6..10]);
        check(&[1..3, 2..8], &[1..8], &[0..1, 8..10]);
        check(&[2..3, 5..6, 8..9, 1..10], &[1..10], &[0..1]);
        check(&[3..3], &[], &[0..10]);
    }

    #[test]
    fn record_that_makes_no_sense_is_no_record() {
        let none = Ranges::default();
        for (size, ranges) in
            [(9, vec![(0, 5)]), (10, vec![(0, 11)]), (10, vec![(5, 5)]), (10, vec![(6, 2)])]
        {
            assert_eq!(Ranges::from_record(&Record { size, ranges }, 10), none);
        }
    }
}
