//! Makes topics and services: under the names of their camera, with the quality of service in force.

use futures::Stream;
use r2r::{Node, Publisher, QosProfile, ServiceRequest, WrappedServiceTypeSupport, WrappedTypesupport};

use super::NodeError;

/// Messages of a subscription as they come.
pub type Messages<T> = Box<dyn Stream<Item = T> + Send + Unpin>;

/// Requests of a service's clients.
pub type Requests<T> = Box<dyn Stream<Item = ServiceRequest<T>> + Send + Unpin>;

/// The node while its topics are made.
pub struct Topics {
    node: Node,
    camera: String,
}

impl Topics {
    pub fn new(node: Node) -> Self {
        Topics { node, camera: String::new() }
    }

    /// What is made from now on belongs to that camera: `image` becomes `front/image`, `~/mask` becomes `~/front/mask`.
    /// The only camera of a node has no name, and the names stay as they are.
    pub fn of_camera(&mut self, camera: &str) {
        camera.clone_into(&mut self.camera);
    }

    fn name(&self, name: &str) -> String {
        match (self.camera.as_str(), name.strip_prefix("~/")) {
            // An absolute name is everybody's.
            (camera, _) if camera.is_empty() || name.starts_with('/') => name.to_owned(),
            (camera, Some(name)) => format!("~/{camera}/{name}"),
            (camera, None) => format!("{camera}/{name}"),
        }
    }

    /// # Errors
    /// The middleware refuses the topic.
    pub fn subscribe<T>(&mut self, topic: &str, qos: QosProfile) -> Result<Messages<T>, NodeError>
    where
        T: WrappedTypesupport + Send + 'static,
    {
        let name = self.name(topic);
        Ok(Box::new(self.node.subscribe::<T>(&name, qos)?))
    }

    /// # Errors
    /// The middleware refuses the topic.
    pub fn publisher<T: WrappedTypesupport>(
        &mut self,
        topic: &str,
        qos: QosProfile,
    ) -> Result<Publisher<T>, NodeError> {
        let name = self.name(topic);
        Ok(self.node.create_publisher(&name, qos)?)
    }

    /// # Errors
    /// The middleware refuses the service.
    pub fn service<T>(&mut self, service: &str) -> Result<Requests<T>, NodeError>
    where
        T: WrappedServiceTypeSupport + 'static,
        T::Request: Send,
    {
        let name = self.name(service);
        Ok(Box::new(self.node.create_service::<T>(&name, QosProfile::services_default())?))
    }

    /// The node, when all topics are made.
    pub fn into_node(self) -> Node {
        self.node
    }
}
