//! Which names an object has had, so that a doubled one is noticed. Names lie in the output, where they were written.

use crate::scan::{Sure, Unsure};

/// Up to so many names each new one is compared with the others; beyond, all are sorted at the end.
const FEW: usize = 32;

/// The names of one object: those from `first` on in the stack of its encoder.
pub struct Names {
    first: usize,
    seen: u64,
}

/// Names of the objects that are open, as (start, end) in the output.
pub type Stack = Vec<(usize, usize)>;

impl Names {
    pub fn new(stack: &Stack) -> Self {
        Names { first: stack.len(), seen: 0 }
    }

    /// Note a name. Not sure when it is doubled, or holds a zero byte.
    #[inline(always)]
    pub fn add(&mut self, stack: &mut Stack, out: &[u8], start: usize, end: usize) -> Sure<()> {
        let name = &out[start..end];
        let (low, high) = match name {
            [] => (0, 0),
            [only] => (*only, 0),
            [low, .., high] => (*low, *high),
        };
        let bit = 1_u64 << ((low as usize * 7 + high as usize * 3 + name.len()) % 64);
        if self.seen & bit != 0 && stack.len() - self.first <= FEW {
            let earlier = &stack[self.first..];
            if earlier.iter().any(|&(start, end)| &out[start..end] == name) {
                return Err(Unsure);
            }
        }
        self.seen |= bit;
        stack.push((start, end));
        Ok(())
    }

    /// The object ends.
    #[inline(always)]
    pub fn end(self, stack: &mut Stack, out: &[u8]) -> Sure<()> {
        let mine = &mut stack[self.first..];
        if mine.len() > FEW {
            mine.sort_unstable_by(|a, b| out[a.0..a.1].cmp(&out[b.0..b.1]));
            if mine.windows(2).any(|two| out[two[0].0..two[0].1] == out[two[1].0..two[1].1]) {
                return Err(Unsure);
            }
        }
        stack.truncate(self.first);
        Ok(())
    }
}
