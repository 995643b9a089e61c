//! The short run of `make fuzz`.

mod targets;

use targets::{TARGETS, input};

#[test]
fn inputs_that_are_nearly_right_are_taken_or_refused_and_nothing_else() {
    for target in &TARGETS {
        let taken = (0..400).filter(|&number| (target.run)(&input(target, 0, number))).count();
        assert!((10..390).contains(&taken), "{}: {taken} of 400 inputs were taken", target.name);
    }
}
