//! A price with its terms, source and date.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub const STALE_AFTER_DAYS: i64 = 180;

/// On which terms a target is paid for.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Terms {
    /// What is bought: `sagemaker-hosting`, `ec2`, ... Their prices for one type differ.
    pub service: String,
    pub region: String,
    /// How: `on-demand`, `spot`, ...
    pub purchase: String,
}

impl std::fmt::Display for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}, {}", self.service, self.region, self.purchase)
    }
}

/// What an hour of a target costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    pub provider: String,
    pub service: String,
    pub region: String,
    /// Whether the source leaves the region open and ours is an assumption.
    pub region_assumed: bool,
    pub operating_system: String,
    pub purchase: String,
    /// Always USD: other currencies are refused.
    pub currency: String,
    /// US dollars per hour of one instance.
    pub usd_per_hour: f64,
    pub source: String,
    /// On which day it was read.
    #[schemars(with = "String")]
    pub date: NaiveDate,
}

impl Price {
    pub fn terms(&self) -> Terms {
        Terms {
            service: self.service.clone(),
            region: self.region.clone(),
            purchase: self.purchase.clone(),
        }
    }

    pub fn age_days(&self, today: NaiveDate) -> i64 {
        (today - self.date).num_days()
    }

    pub fn is_stale(&self, today: NaiveDate) -> bool {
        self.age_days(today) > STALE_AFTER_DAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_stale_after_180_days_and_not_on_the_180th() {
        let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
        let price = Price {
            provider: "aws".to_owned(),
            service: "ec2".to_owned(),
            region: "us-east-1".to_owned(),
            region_assumed: false,
            operating_system: "linux".to_owned(),
            purchase: "on-demand".to_owned(),
            currency: "USD".to_owned(),
            usd_per_hour: 1.0,
            source: "a list".to_owned(),
            date: day(1, 1),
        };
        assert!(!price.is_stale(day(6, 30)));
        assert!(price.is_stale(day(7, 1)));
    }
}
