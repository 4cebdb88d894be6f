//! Events -> a web page that follows a campaign: fleet, cells, the last minutes, time left and spending. Read-only.
//!
//! A snapshot is serialized once a second, and shared by all viewers.

#![forbid(unsafe_code)]

mod history;
mod serve;
mod state;
mod vitals;

pub use serve::{Access, Error, Page, router};

use campaign::{CampaignEvent, Observer};
use records::CampaignRow;
use state::PageState;
use std::time::Duration;

/// Publishes a campaign on a [`Page`].
#[derive(Debug)]
pub struct PagePublisher {
    state: PageState,
    page: Page,
}

impl PagePublisher {
    pub fn new(campaign: &CampaignRow, page: Page) -> Self {
        Self { state: PageState::new(campaign), page }
    }
}

impl Observer for PagePublisher {
    fn observe(&mut self, event: &CampaignEvent, now: Duration) {
        self.state.observe(event, now);
        if matches!(event, CampaignEvent::Spending(_) | CampaignEvent::Ended { .. }) {
            self.page.publish(&self.state.snapshot(now));
        }
    }
}
