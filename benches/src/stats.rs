//! Medians, percentiles and paired ratios: few numbers that a busy machine cannot bend much.

/// The measurements of one contestant, in the order of the rounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample(pub Vec<f64>);

impl Sample {
    pub fn median(&self) -> f64 {
        self.percentile(50.0)
    }

    /// By linear interpolation between the two nearest.
    ///
    /// # Panics
    /// When nothing was measured.
    pub fn percentile(&self, percent: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1).expect("a sample has at least one measurement");
        let at = percent / 100.0 * last as f64;
        let (below, above) = (at.floor() as usize, at.ceil() as usize);
        sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
    }

    /// The median of the ratios round by round: a slow moment of the machine slows both of a pair.
    pub fn ratio_to(&self, other: &Sample) -> f64 {
        Sample(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect()).median()
    }

    /// The median of the differences round by round.
    pub fn more_than(&self, other: &Sample) -> f64 {
        Sample(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect()).median()
    }
}

/// A small generator for shuffling: the order must differ from round to round, and be had again from its seed.
#[derive(Debug)]
pub struct Shuffle(u64);

impl Shuffle {
    pub fn new(seed: u64) -> Shuffle {
        Shuffle(seed | 1)
    }

    pub fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, (self.next() % (last as u64 + 1)) as usize);
        }
        order
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_interpolate() {
        let sample = Sample(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((sample.median(), sample.percentile(0.0), sample.percentile(100.0)), (2.5, 1.0, 4.0));
    }

    #[test]
    fn ratios_are_paired() {
        // Both are ten times slower in the second round; the ratio does not see it.
        assert_eq!(Sample(vec![2.0, 20.0, 2.0]).ratio_to(&Sample(vec![1.0, 10.0, 1.0])), 2.0);
    }

    #[test]
    fn every_order_is_whole_and_they_differ() {
        let mut shuffle = Shuffle::new(7);
        let orders: Vec<_> = (0..20).map(|_| shuffle.order(6)).collect();
        for order in &orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        }
        assert!(orders.iter().any(|order| *order != orders[0]));
    }
}
