//! Requests for the sessions of a model: the providers of each graph, and what was refused on them.

use super::options::SessionOptions;
use super::per_graph::PerGraph;
use super::report::ProviderRefusal;
use super::session::SessionRequest;
use super::shape_profile::ShapeProfile;
use crate::model::provider::Provider;

/// Providers and precisions of each graph that earlier attempts to open a model refused.
pub type Refusals = PerGraph<Vec<ProviderRefusal>>;

/// Providers of the graphs of a model.
#[derive(Debug, PartialEq)]
pub struct Choice {
    /// Providers in the order in which they are tried, for graphs without an order of their own.
    pub listed: Vec<Provider>,
    /// Providers to try for each graph that was timed, in order.
    pub providers: PerGraph<Vec<Provider>>,
    /// Timings of each graph by provider; empty without a choice by speed.
    pub timings: PerGraph<Vec<(Provider, f64)>>,
    /// Providers that could not run a graph when they were timed. They are not tried.
    pub refused: Refusals,
    /// Remarks for the report of the model.
    pub notes: Vec<String>,
}

impl Choice {
    /// Tries the providers of a list in its order.
    pub fn listed(providers: &[Provider]) -> Self {
        Choice {
            listed: providers.to_vec(),
            providers: PerGraph::default(),
            timings: PerGraph::default(),
            refused: PerGraph::default(),
            notes: Vec::new(),
        }
    }

    /// Returns the providers to try for a graph, in order.
    pub fn of(&self, graph: &str) -> &[Provider] {
        self.providers.get(graph).unwrap_or(&self.listed)
    }
}

/// How the sessions of a model are opened.
pub struct Requests<'a> {
    pub options: &'a SessionOptions,
    choice: &'a Choice,
    /// Providers and precisions of each graph that are not tried.
    skip: Refusals,
    /// Receives a sentence before each step that takes minutes.
    pub progress: &'a dyn Fn(&str),
}

impl<'a> Requests<'a> {
    /// Makes the requests for the providers of `choice`, except those that `refusals` names.
    pub fn new(
        options: &'a SessionOptions,
        choice: &'a Choice,
        refusals: &Refusals,
        progress: &'a dyn Fn(&str),
    ) -> Self {
        let mut skip = choice.refused.clone();
        for graph in refusals.graphs() {
            skip.get_mut(graph).extend_from_slice(refusals.list(graph));
        }
        Requests { options, choice, skip, progress }
    }

    /// Returns the request for the session of a graph.
    pub fn of(&'a self, graph: &str, profile: &'a ShapeProfile) -> SessionRequest<'a> {
        let Requests { options, choice, skip, progress } = self;
        let (providers, skip) = (choice.of(graph), skip.list(graph));
        SessionRequest { options, providers, profile, outputs: &[], skip, progress }
    }
}
