//! Arguments of `promptseg inspect`.

use promptseg::model::Precision;

use crate::model_arguments::ModelPath;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub model: ModelPath,
    /// Variant to try on each provider; auto is the variant that the node would run.
    #[arg(long, value_name = "P", default_value = "auto", value_parser = Precision::CHOICES)]
    pub precision: String,
    /// Also list the inputs and outputs of the graphs.
    #[arg(long)]
    pub tensors: bool,
    /// Print one line of JSON instead of the table.
    #[arg(long)]
    pub json: bool,
}
