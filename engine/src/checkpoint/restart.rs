//! Restart strategies: whether and when a failed job is started again from its last checkpoint.
//!
//! The keys and defaults are Flink's: with checkpoints on, the delay grows exponentially without end; without
//! checkpoints a failed job stays down. Random jitter is passed in, so that delays are reproducible.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::connector::{OptionSpec, OptionValue, Options};
use crate::error::{Error, Result};

const PREFIX: &str = "restart-strategy";
const TYPE: &str = "restart-strategy.type";
const FIXED_ATTEMPTS: &str = "restart-strategy.fixed-delay.attempts";
const FIXED_DELAY: &str = "restart-strategy.fixed-delay.delay";
const INITIAL: &str = "restart-strategy.exponential-delay.initial-backoff";
const MAX: &str = "restart-strategy.exponential-delay.max-backoff";
const MULTIPLIER: &str = "restart-strategy.exponential-delay.backoff-multiplier";
const JITTER: &str = "restart-strategy.exponential-delay.jitter-factor";
const RESET: &str = "restart-strategy.exponential-delay.reset-backoff-threshold";
const EXPONENTIAL_ATTEMPTS: &str = "restart-strategy.exponential-delay.attempts-before-reset-backoff";

const TYPES: &[&str] =
    &["none", "off", "disable", "fixed-delay", "fixeddelay", "exponential-delay", "exponentialdelay"];

/// The options of restart strategies, for the check of keys and for the reference.
pub fn restart_options() -> Vec<OptionSpec> {
    use OptionValue::{Duration, Integer, OneOf, Text};
    let type_doc = "Whether a failed job is started again from its last checkpoint: none (off, disable), fixed-delay \
                    or exponential-delay. Default: exponential-delay with checkpoints, none without.";
    vec![
        OptionSpec::optional(TYPE, OneOf(TYPES), type_doc),
        OptionSpec::with_default(FIXED_ATTEMPTS, Integer, "1", "fixed-delay: number of restarts before giving up."),
        OptionSpec::with_default(FIXED_DELAY, Duration, "1s", "fixed-delay: wait before each restart."),
        OptionSpec::with_default(INITIAL, Duration, "1s", "exponential-delay: wait before the first restart."),
        OptionSpec::with_default(MAX, Duration, "1min", "exponential-delay: longest wait."),
        OptionSpec::with_default(MULTIPLIER, Text, "1.5", "exponential-delay: growth of the wait, at least 1."),
        OptionSpec::with_default(JITTER, Text, "0.1", "exponential-delay: random part of the wait, 0 to 1."),
        OptionSpec::with_default(
            RESET,
            Duration,
            "1h",
            "exponential-delay: time without failure that resets the wait.",
        ),
        OptionSpec::with_default(
            EXPONENTIAL_ATTEMPTS,
            Text,
            "infinite",
            "exponential-delay: number of restarts before giving up, counted from the last reset; or 'infinite'.",
        ),
    ]
}

/// Whether and when a failed job is started again.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartStrategy {
    /// Never.
    None,
    /// A number of times, always after the same wait.
    FixedDelay {
        /// Number of restarts before giving up.
        attempts: u32,
        /// Wait before each.
        delay: Duration,
    },
    /// After a wait that grows with every failure.
    ExponentialDelay {
        /// Wait before the first restart.
        initial: Duration,
        /// Longest wait.
        max: Duration,
        /// Growth of the wait per restart, at least 1.
        multiplier: f64,
        /// Random part of the wait, 0 to 1.
        jitter: f64,
        /// Time without failure after which counting starts again.
        reset_after: Duration,
        /// Number of restarts before giving up; None without a limit.
        attempts: Option<u32>,
    },
}

impl Default for RestartStrategy {
    /// Flink's default for jobs with checkpoints.
    fn default() -> Self {
        RestartStrategy::ExponentialDelay {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(60),
            multiplier: 1.5,
            jitter: 0.1,
            reset_after: Duration::from_secs(3600),
            attempts: None,
        }
    }
}

impl RestartStrategy {
    /// Reads the `restart-strategy.*` keys among `values`; other keys are not looked at. `checkpointing` says whether
    /// checkpoints are on, which decides the default.
    pub fn from_options(values: &BTreeMap<String, String>, checkpointing: bool) -> Result<Self> {
        let mut own: BTreeMap<String, String> =
            values.iter().filter(|(k, _)| k.starts_with(PREFIX)).map(|(k, v)| (k.clone(), v.clone())).collect();
        if let Some(old) = own.remove(PREFIX) {
            own.entry(TYPE.to_string()).or_insert(old);
        }
        if let Some(word) =
            own.get(TYPE).filter(|w| matches!(w.to_lowercase().as_str(), "failure-rate" | "failurerate"))
        {
            let message = format!("Invalid value '{word}' for option '{TYPE}': this strategy is not supported");
            return Err(Error::option(message, "use exponential-delay or fixed-delay".to_string()));
        }
        let options = Options::check("the restart strategy", &own, restart_options())?;
        let word = match options.text(TYPE) {
            Some(word) => word.to_lowercase(),
            None if checkpointing => "exponential-delay".to_string(),
            None => "none".to_string(),
        };
        match word.as_str() {
            "fixed-delay" | "fixeddelay" => Ok(RestartStrategy::FixedDelay {
                attempts: count(&options, FIXED_ATTEMPTS)?,
                delay: options.duration(FIXED_DELAY)?.unwrap_or_default(),
            }),
            "exponential-delay" | "exponentialdelay" => Self::exponential(&options),
            _ => Ok(RestartStrategy::None),
        }
    }

    fn exponential(options: &Options) -> Result<Self> {
        let initial = options.duration(INITIAL)?.unwrap_or_default();
        let max = options.duration(MAX)?.unwrap_or_default();
        if initial.is_zero() || max < initial {
            let message = format!("'{INITIAL}' ({initial:?}) must be positive and at most '{MAX}' ({max:?})");
            return Err(Error::option(message, None));
        }
        let unlimited = options.text(EXPONENTIAL_ATTEMPTS).is_some_and(|t| t.eq_ignore_ascii_case("infinite"));
        Ok(RestartStrategy::ExponentialDelay {
            initial,
            max,
            multiplier: number(options, MULTIPLIER, 1.0, f64::MAX)?,
            jitter: number(options, JITTER, 0.0, 1.0)?,
            reset_after: options.duration(RESET)?.unwrap_or_default(),
            attempts: if unlimited { None } else { Some(count(options, EXPONENTIAL_ATTEMPTS)?) },
        })
    }

    /// The wait before restart number `attempt` (the first is 0) since the last reset, or None to give up. `random` is
    /// between 0 and 1 and decides the jitter.
    pub fn next_delay(&self, attempt: u32, random: f64) -> Option<Duration> {
        match self {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay } => (attempt < *attempts).then_some(*delay),
            RestartStrategy::ExponentialDelay { initial, max, multiplier, jitter, attempts, .. } => {
                if attempts.is_some_and(|limit| attempt >= limit) {
                    return None;
                }
                let max = max.as_secs_f64();
                let grown = initial.as_secs_f64() * multiplier.powf(f64::from(attempt));
                let spread = 1.0 + jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0);
                Some(Duration::from_secs_f64((grown.min(max) * spread).min(max)))
            }
        }
    }

    /// Time without failure after which the runtime counts attempts from 0 again; None for never.
    pub fn reset_after(&self) -> Option<Duration> {
        match self {
            RestartStrategy::ExponentialDelay { reset_after, .. } => Some(*reset_after),
            _ => None,
        }
    }
}

fn count(options: &Options, key: &str) -> Result<u32> {
    let text = options.required(key)?;
    let bad =
        || Error::option(format!("Invalid value '{text}' for option '{key}': expected a count of restarts"), None);
    text.trim().parse().map_err(|_| bad())
}

fn number(options: &Options, key: &str, least: f64, most: f64) -> Result<f64> {
    let text = options.required(key)?;
    let value = text.trim().parse::<f64>().ok().filter(|v| v.is_finite() && (least..=most).contains(v));
    let wanted = if most == f64::MAX { format!("at least {least}") } else { format!("from {least} to {most}") };
    value.ok_or_else(|| {
        Error::option(format!("Invalid value '{text}' for option '{key}': expected a number {wanted}"), None)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(pairs: &[(&str, &str)], checkpointing: bool) -> Result<RestartStrategy> {
        let values = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        RestartStrategy::from_options(&values, checkpointing)
    }

    #[test]
    fn default_depends_on_checkpointing() {
        assert_eq!(read(&[], true).unwrap(), RestartStrategy::default());
        assert_eq!(read(&[("pipeline.name", "x")], false).unwrap(), RestartStrategy::None);
    }

    #[test]
    fn exponential_delay_grows_to_its_maximum_and_never_ends() {
        let strategy = RestartStrategy::default();
        let middle: Vec<f64> = (0..4).map(|n| strategy.next_delay(n, 0.5).unwrap().as_secs_f64()).collect();
        assert_eq!(middle, [1.0, 1.5, 2.25, 3.375]);
        assert_eq!(strategy.next_delay(u32::MAX, 1.0), Some(Duration::from_secs(60)));
        assert_eq!(strategy.next_delay(0, 0.0), Some(Duration::from_millis(900)));
        assert_eq!(strategy.next_delay(0, 1.0), Some(Duration::from_millis(1100)));
    }

    #[test]
    fn fixed_delay_gives_up_after_its_attempts() {
        let pairs = [
            ("restart-strategy", "Fixed-Delay"),
            ("restart-strategy.fixed-delay.attempts", "2"),
            ("restart-strategy.fixed-delay.delay", "3 s"),
        ];
        let strategy = read(&pairs, true).unwrap();
        assert_eq!(strategy.next_delay(1, 0.3), Some(Duration::from_secs(3)));
        assert_eq!(strategy.next_delay(2, 0.3), None);
        assert_eq!(read(&[(TYPE, "off")], true).unwrap().next_delay(0, 0.0), None);
    }

    #[test]
    fn exponential_attempts_can_be_limited() {
        let strategy = read(&[(EXPONENTIAL_ATTEMPTS, "3")], true).unwrap();
        assert!(strategy.next_delay(2, 0.0).is_some());
        assert_eq!(strategy.next_delay(3, 0.0), None);
        assert_eq!(strategy.reset_after(), Some(Duration::from_secs(3600)));
    }

    #[test]
    fn bad_values_name_the_key() {
        for (key, value) in [
            (TYPE, "sometimes"),
            (TYPE, "failure-rate"),
            (FIXED_ATTEMPTS, "many"),
            (MULTIPLIER, "0.5"),
            (JITTER, "2"),
            (JITTER, "NaN"),
            (INITIAL, "soon"),
            (INITIAL, "2min"),
            (EXPONENTIAL_ATTEMPTS, "-1"),
        ] {
            let strategy = if key == FIXED_ATTEMPTS { "fixed-delay" } else { "exponential-delay" };
            let mut pairs = vec![(TYPE, strategy)];
            pairs.push((key, value));
            let message = read(&pairs, true).unwrap_err().to_string();
            assert!(message.contains(key), "{message}");
        }
        let unknown = read(&[("restart-strategy.fixed-delay.attempt", "1")], true).unwrap_err();
        assert!(unknown.hint().unwrap().contains("restart-strategy.fixed-delay.attempts"), "{unknown:?}");
    }
}
