//! Counters that wrap, continued without wrapping.

/// Continues a wrapping counter: each value is taken to be the nearest to the one before.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unwrap<T> {
    last: Option<(T, i64)>,
}

/// Where counting starts: high enough that stepping back a few times stays positive.
const START: i64 = 1 << 40;

impl Unwrap<u32> {
    /// The next value.
    pub fn unwrap(&mut self, value: u32) -> i64 {
        let whole = match self.last {
            Some((last, whole)) => whole + i64::from(value.wrapping_sub(last) as i32),
            None => START + i64::from(value),
        };
        self.last = Some((value, whole));
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_goes_on_in_both_directions() {
        let mut ticks = Unwrap::<u32>::default();
        let first = ticks.unwrap(u32::MAX);
        assert_eq!(first as u32, u32::MAX);
        assert_eq!(ticks.unwrap(5) - first, 6);
        assert_eq!(ticks.unwrap(u32::MAX - 1) - first, -1);
    }
}
