//! One value for each graph of a model, by the name of the graph.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One value for each graph of a model. A graph without a value has the default of the type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PerGraph<T>(BTreeMap<String, T>);

impl<T> Default for PerGraph<T> {
    fn default() -> Self {
        PerGraph(BTreeMap::new())
    }
}

impl<T: Default> PerGraph<T> {
    /// Returns the value of a graph, to change it.
    pub fn get_mut(&mut self, graph: &str) -> &mut T {
        self.0.entry(graph.to_owned()).or_default()
    }
}

impl<T> PerGraph<T> {
    /// Returns the values of the graphs that have one.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    /// Returns the graphs that have a value.
    pub fn graphs(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the value of a graph, if it has one.
    pub fn get(&self, graph: &str) -> Option<&T> {
        self.0.get(graph)
    }
}

impl<T> PerGraph<Vec<T>> {
    /// Returns the list of a graph, which is empty for a graph without a value.
    pub fn list(&self, graph: &str) -> &[T] {
        self.get(graph).map_or(&[], Vec::as_slice)
    }
}
