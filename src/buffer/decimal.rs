//! Numbers as text.

/// The longest number has so many digits.
pub(crate) const LONGEST: usize = 20;

/// Writes a number at the end of `to`, which must have room for it, and says where it starts.
#[inline]
pub(crate) fn write_at_end(mut number: u64, to: &mut [u8]) -> usize {
    let mut at = to.len();
    loop {
        at -= 1;
        to[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_those_of_the_standard_library() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX] {
            let mut space = [0; super::LONGEST];
            let at = super::write_at_end(number, &mut space);
            assert_eq!(&space[at..], number.to_string().as_bytes());
        }
    }
}
