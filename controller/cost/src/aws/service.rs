//! What is bought, in our word and in AWS's: hosting, asynchronous inference, batch transform and EC2 are
//! different services with different prices for one type.

use super::Product;
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    SageMakerHosting,
    SageMakerAsync,
    SageMakerBatchTransform,
    /// A plain Linux machine, shared tenancy.
    Ec2,
}

const WORDS: [(Service, &str); 4] = [
    (Service::SageMakerHosting, "sagemaker-hosting"),
    (Service::SageMakerAsync, "sagemaker-async"),
    (Service::SageMakerBatchTransform, "sagemaker-batch-transform"),
    (Service::Ec2, "ec2"),
];

impl Service {
    /// Its word in price books.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(service, _)| *service == self).map_or("", |(_, word)| word)
    }

    /// AWS's code of the offer that holds it.
    pub fn offer(self) -> &'static str {
        match self {
            Self::Ec2 => "AmazonEC2",
            _ => "AmazonSageMaker",
        }
    }

    /// Filters of `GetProducts` that leave one product: field and value.
    pub fn filters(self, target: &str, region: &str) -> Vec<(&'static str, String)> {
        let mut filters = match self {
            Self::Ec2 => vec![
                ("instanceType", target.to_owned()),
                ("operatingSystem", "Linux".to_owned()),
                ("tenancy", "Shared".to_owned()),
                ("preInstalledSw", "NA".to_owned()),
                ("capacitystatus", "Used".to_owned()),
            ],
            _ => vec![("instanceName", target.to_owned())],
        };
        if self == Self::SageMakerHosting {
            filters.push(("component", "Hosting".to_owned()));
        }
        filters.push(("regionCode", region.to_owned()));
        filters
    }

    /// The instance type that a product is, where it is of this service. Usage types are such as
    /// `USE1-Host:ml.g4dn.xlarge`, in us-east-1 sometimes without their first part.
    pub fn target(self, product: &Product) -> Option<&str> {
        let is = |key: &str, value: &str| product.attribute(key) == Some(value);
        let kind = usage_kind(product)?;
        let of_sagemaker =
            |wanted: &str| (kind == wanted).then(|| product.attribute("instanceName")).flatten();
        match self {
            Self::SageMakerHosting => of_sagemaker("Host"),
            Self::SageMakerAsync => of_sagemaker("AsyncInf"),
            Self::SageMakerBatchTransform => of_sagemaker("Tsform"),
            Self::Ec2 => {
                let is_plain = is("operatingSystem", "Linux")
                    && is("tenancy", "Shared")
                    && is("preInstalledSw", "NA")
                    && is("capacitystatus", "Used");
                is_plain.then(|| product.attribute("instanceType")).flatten()
            }
        }
    }

    /// The market option of a product that isn't bought on demand, such as `CapacityBlock`. Older lists name it only in
    /// the usage type.
    pub(super) fn other_market(self, product: &Product) -> Option<&str> {
        let market = match (product.attribute("marketoption"), self) {
            (Some(market), _) => market,
            (None, Self::Ec2) => usage_kind(product).filter(|kind| *kind != "BoxUsage")?,
            (None, _) => return None,
        };
        (!market.eq_ignore_ascii_case("OnDemand")).then_some(market)
    }
}

/// `Host` in `USE1-Host:ml.g4dn.xlarge`.
fn usage_kind(product: &Product) -> Option<&str> {
    let (kind, _) = product.attribute("usagetype")?.rsplit_once(':')?;
    Some(kind.rsplit_once('-').map_or(kind, |(_, kind)| kind))
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("unknown service `{found}`: expected one of {}", WORDS.map(|(_, word)| word).join(", "))]
pub struct Unknown {
    found: String,
}

impl FromStr for Service {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        let found = WORDS.iter().find(|(_, known)| *known == word);
        found.map(|(service, _)| *service).ok_or_else(|| Unknown { found: word.to_owned() })
    }
}
