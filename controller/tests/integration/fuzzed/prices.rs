//! Any text as a price book.

use cost::{PriceBook, Terms};

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(book) = PriceBook::parse("prices.toml", text) else { return };
    for (target, price) in book.prices() {
        assert!(price.usd_per_hour.is_finite() && price.usd_per_hour > 0.0, "{price:?}");
        let terms = Terms {
            service: price.service.clone(),
            region: price.region.clone(),
            purchase: price.purchase.clone(),
        };
        assert!(book.lookup(target, &terms).is_ok(), "a price that is listed is found");
    }
}
