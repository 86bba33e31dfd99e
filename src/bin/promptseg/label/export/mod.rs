//! Data sets made of the records of a run.

mod bag;
mod coco;
mod cvat;
mod dataset;
mod label_studio;
mod pictures;
mod sa1b;
mod yolo;

use promptseg::label::Split;

use super::arguments::Format;
pub use dataset::Dataset;

/// Writes a data set in a format. Returns remarks for the user.
pub fn write(dataset: &Dataset<'_>, format: Format) -> Result<Vec<String>, String> {
    match format {
        Format::Coco => Split::ALL.iter().try_for_each(|split| coco::write(dataset, *split)).map(|()| Vec::new()),
        Format::Yolo => yolo::write(dataset).map(|()| Vec::new()),
        Format::Png => pictures::write(dataset),
        Format::Bag => bag::write(dataset).map(|()| Vec::new()),
        Format::Sa1b => sa1b::write(dataset).map(|()| Vec::new()),
        Format::Cvat => cvat::write(dataset).map(|()| Vec::new()),
        Format::LabelStudio => label_studio::write(dataset).map(|()| Vec::new()),
    }
}
