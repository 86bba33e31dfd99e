//! `promptseg everything`, `proposals` and `edges` from the outside, with the built-in model on drawn scenes.

mod scratch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{GrayImage, Luma, RgbImage};
use promptseg::pixels::{Mask, label_image};
use scratch::{Scratch, assert_says, decode_run_lengths, fixture, golden, refused, succeeded, text};
use serde_json::{Value, json};

/// A grid that is quick to decode and finds most objects of a scene.
const GRID: [&str; 6] = ["--points-per-side", "8", "--pred-iou-thresh", "0.7", "--stability-score-thresh", "0.85"];

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_promptseg"));
    command.current_dir(folder).args(arguments).args(["--threads", "1"]);
    command
}

fn promptseg(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn everything(folder: &Path, arguments: &[&str]) -> Output {
    promptseg(folder, &[&["everything"], &GRID[..], arguments].concat())
}

/// Creates a temporary folder with the scenes `0.png` and `1.png`.
fn with_scenes(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenes");
    for number in 0..2 {
        std::fs::copy(scenes.join(format!("00{number}.png")), scratch.file(format!("{number}.png"))).unwrap();
    }
    scratch
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn decode(segmentation: &Value) -> Mask {
    let image = decode_run_lengths(segmentation);
    Mask::from_data(image.width(), image.height(), image.as_raw()).unwrap()
}

fn masks(annotations: &Value) -> Vec<Mask> {
    annotations.as_array().unwrap().iter().map(|annotation| decode(&annotation["segmentation"])).collect()
}

/// Returns the labels of a PNG of 16 bits.
fn labels(path: PathBuf) -> image::ImageBuffer<Luma<u16>, Vec<u16>> {
    match image::open(&path).unwrap() {
        image::DynamicImage::ImageLuma16(labels) => labels,
        other => panic!("{path:?} is {:?}, expected 16 bits", other.color()),
    }
}

#[test]
fn all_formats_hold_the_same_masks() {
    let scratch = with_scenes("everything");
    let names = succeeded(&everything(&scratch.0, &["0.png", "1.png", "--overlay"]));
    assert_eq!(names, "0_labels.png\n0_overlay.png\n1_labels.png\n1_overlay.png\n");
    let pictures = ["0.png", "1.png"];
    let with = |more: &[&str]| everything(&scratch.0, &[&pictures[..], more].concat());
    let coco = parse(&succeeded(&with(&["--format", "coco"])));
    let sa1b = succeeded(&with(&["--format", "sa1b"]));
    let sa1b: Vec<Value> = sa1b.lines().map(parse).collect();
    assert_eq!((coco["images"].as_array().unwrap().len(), sa1b.len()), (2, 2));
    assert_eq!(coco["categories"][0]["id"], 1);
    let mut ids = BTreeSet::new();
    for (index, document) in sa1b.iter().enumerate() {
        let labels = labels(scratch.file(format!("{index}_labels.png")));
        let (width, height) = labels.dimensions();
        let image = json!({ "id": index + 1, "file_name": pictures[index], "width": width, "height": height });
        assert_eq!(coco["images"][index], image);
        assert_eq!(
            (&document["image"]["image_id"], &document["image"]["file_name"]),
            (&image["id"], &image["file_name"])
        );
        let of_image = |annotation: &&Value| annotation["image_id"] == index + 1;
        let annotations: Vec<Value> =
            coco["annotations"].as_array().unwrap().iter().filter(of_image).cloned().collect();
        let found = masks(&json!(annotations));
        assert!(found.len() >= 4, "picture {index}: {}", found.len());
        assert_eq!(masks(&document["annotations"]), found);
        let numbered: Vec<(u32, &Mask)> = (1..).zip(&found).collect();
        assert!(label_image(&numbered) == *labels.as_raw(), "picture {index}");
        for ((annotation, record), mask) in
            annotations.iter().zip(document["annotations"].as_array().unwrap()).zip(&found)
        {
            assert_eq!((&annotation["area"], &record["area"]), (&json!(mask.area), &json!(mask.area)));
            let b = mask.bbox.unwrap();
            assert_eq!(annotation["bbox"], json!([b.x, b.y, b.width, b.height]));
            // The box of the reference is one pixel smaller.
            assert_eq!(record["bbox"], json!([b.x, b.y, b.width - 1, b.height - 1].map(f64::from)));
            assert_eq!(record["crop_box"], json!([0, 0, width, height].map(f64::from)));
            let [x, y] = [0, 1].map(|axis| record["point_coords"][0][axis].as_f64().unwrap());
            assert!(x > 0.0 && y > 0.0 && x < f64::from(width) && y < f64::from(height));
            let [iou, stability] = ["predicted_iou", "stability_score"].map(|key| record[key].as_f64().unwrap());
            assert!(iou > 0.7 && stability >= 0.85, "{iou} {stability}");
            assert!((annotation["score"].as_f64().unwrap() - iou * stability).abs() < 1e-5);
            assert!(ids.insert(annotation["id"].as_u64().unwrap()));
            assert_eq!(annotation["id"], record["id"]);
        }
        let overlay = image::open(scratch.file(format!("{index}_overlay.png"))).unwrap().into_rgb8();
        let picture = image::open(scratch.file(pictures[index])).unwrap().into_rgb8();
        // Every mask is tinted.
        for (x, y, label) in labels.enumerate_pixels().filter(|(x, y, _)| x % 7 == 0 && y % 7 == 0) {
            assert!(label.0[0] == 0 || overlay.get_pixel(x, y) != picture.get_pixel(x, y), "({x}, {y})");
        }
    }
    let results = parse(&succeeded(&with(&["--format", "coco-results"])));
    assert_eq!(masks(&results), masks(&coco["annotations"]));
    assert!(results.as_array().unwrap().iter().all(|result| result["score"].is_f64() && result.get("id").is_none()));
}

#[test]
fn parts_duplicates_and_shared_pixels_are_told_apart_on_request() {
    let scratch = with_scenes("everything-overlap");
    let coco = |more: &[&str]| {
        let output = everything(&scratch.0, &[&["0.png", "--format", "coco", "--box-nms-thresh", "1"], more].concat());
        parse(&succeeded(&output))["annotations"].clone()
    };
    let shared = |a: &Mask, b: &Mask| a.full().iter().zip(b.full()).filter(|(a, b)| **a != 0 && *b != 0).count() as f64;
    let iou = |a: &Mask, b: &Mask| shared(a, b) / (f64::from(a.area) + f64::from(b.area) - shared(a, b));
    let largest_iou = |masks: &[Mask]| {
        let pairs = (0..masks.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.map(|(a, b)| iou(&masks[a], &masks[b])).fold(0.0, f64::max)
    };
    let all = masks(&coco(&[]));
    let unique = coco(&["--mask-nms-thresh", "0.8", "--parts", "keep"]);
    let unique_masks = masks(&unique);
    assert!(largest_iou(&all) > 0.8 && largest_iou(&unique_masks) <= 0.8, "{} masks", all.len());
    assert!(unique_masks.len() < all.len());
    let mut parts = 0;
    for (annotation, mask) in unique.as_array().unwrap().iter().zip(&unique_masks) {
        if let Some(whole) = annotation["part_of"].as_u64() {
            parts += 1;
            let whole = &unique_masks[whole as usize - 1];
            assert!(whole.area > mask.area && shared(mask, whole) > 0.9 * f64::from(mask.area));
        }
    }
    assert!(parts > 0, "no part in {} masks", unique_masks.len());
    let without_parts = masks(&coco(&["--mask-nms-thresh", "0.8", "--parts", "drop"]));
    assert!(without_parts.len() < unique_masks.len());
    for first in ["certain", "large"] {
        let disjoint = masks(&coco(&["--disjoint", first]));
        assert!(disjoint.len() > 3 && largest_iou(&disjoint) == 0.0, "{first}");
    }
}

#[test]
fn clicks_lie_in_the_region_or_answer_boxes_alone() {
    let scratch = with_scenes("everything-region");
    let records = |more: &[&str]| {
        let output = everything(&scratch.0, &[&["0.png", "--format", "sa1b"], more].concat());
        parse(&succeeded(&output))["annotations"].as_array().unwrap().clone()
    };
    let size = image::open(scratch.file("0.png")).unwrap().into_rgb8().dimensions();
    let (right, bottom) = (size.0 / 2, size.1);
    let clicks = |records: &[Value]| -> Vec<f64> {
        records.iter().map(|record| record["point_coords"][0][0].as_f64().unwrap()).collect()
    };
    let whole = clicks(&records(&[]));
    assert!(whole.iter().any(|x| *x > f64::from(right)));
    let left = clicks(&records(&["--region", &format!("-5,0,{right},{}", bottom + 9)]));
    assert!(!left.is_empty() && left.iter().all(|x| *x < f64::from(right)), "{left:?}");
    let mask = GrayImage::from_fn(size.0, size.1, |x, _| Luma([if x < right { 255 } else { 0 }]));
    mask.save(scratch.file("left.png")).unwrap();
    assert_eq!(clicks(&records(&["--region-mask", "left.png"])), left);
    let loose = ["everything", "0.png", "--format", "sa1b", "--pred-iou-thresh", "0", "--stability-score-thresh", "0"];
    let boxed = promptseg(&scratch.0, &[&loose[..], &["--box", "10,10,60,60", "--box", "90,90,160,150"]].concat());
    let boxed = parse(&succeeded(&boxed))["annotations"].clone();
    assert_eq!(boxed.as_array().unwrap().len(), 2);
    let coarse = records(&["--search", "coarse-to-fine"]);
    assert!(!coarse.is_empty());
}

#[test]
fn wrong_settings_end_with_exit_code_2_before_a_model_is_loaded() {
    let scratch = with_scenes("everything-usage");
    for (arguments, part) in [
        (&["everything", "0.png", "--points-per-side", "0"][..], "points_per_side is 0; expected at least 1"),
        (&["everything", "0.png", "--points-per-side", "-3"], "invalid value '-3'"),
        (&["everything", "0.png", "--points-per-side", "1000"], "1000000 clicks"),
        (&["everything", "0.png", "--points-per-batch", "0"], "points_per_batch is 0"),
        (&["everything", "0.png", "--pred-iou-thresh", "1.5"], "pred_iou_thresh is 1.5; expected a number from 0 to 1"),
        (&["everything", "0.png", "--pred-iou-thresh", "-0.1"], "pred_iou_thresh is -0.1"),
        (&["everything", "0.png", "--stability-score-thresh", "NaN"], "stability_score_thresh is NaN"),
        (&["everything", "0.png", "--box-nms-thresh", "7"], "box_nms_thresh is 7"),
        (&["everything", "0.png", "--crop-n-layers", "9"], "crop_n_layers is 9"),
        (&["everything", "0.png", "--mask-nms-thresh", "2"], "mask_nms.iou is 2"),
        (&["everything", "0.png", "--region", "9,9,1,1"], "X0 < X1"),
        (&["everything", "0.png", "1.png", "--out", "l.png"], "a single file holds the labels of one picture"),
        (&["everything", "0.png", "--format", "coco", "--out", "l.png"], "goes into a .json file"),
        (&["everything", "0.png", "--image-ids", "i.json"], "--image-ids: this --format has no ids"),
        (&["everything", "a/0.png", "b/0.png", "--format", "coco"], "would have the same name"),
        (&["proposals", "0.png", "--most", "0"], "0 is not in 1..=1000"),
        (&["proposals", "0.png", "--stability-score-thresh", "2"], "stability_score_thresh is 2"),
        (&["proposals", "0.png", "--points-per-side", "300"], "90000 clicks"),
        (&["edges", "0.png", "--points-per-side", "0"], "points_per_side is 0"),
        (&["edges", "0.png", "--points-per-side", "1000"], "1000000 clicks"),
        (&["edges", "0.png", "--box-nms-thresh", "-1"], "box_nms_thresh is -1"),
        (&["edges", "0.png", "1.png", "--out", "e.png"], "a single file holds the edges of one picture"),
    ] {
        // A missing model is reported later.
        let message = refused(&promptseg(&scratch.0, &[arguments, &["--model", "gone"]].concat()), 2);
        assert_says(&message, &[part, "--help"]);
    }
}

#[test]
fn bad_pictures_and_regions_are_refused_one_by_one() {
    let scratch = with_scenes("everything-bad");
    RgbImage::new(1, 1).save(scratch.file("dot.png")).unwrap();
    scratch.write("text.png", "hello");
    let output = everything(&scratch.0, &["dot.png", "0.png", "text.png", "gone.png", "--format", "coco"]);
    assert_says(
        &refused(&output, 1),
        &[
            "dot.png: the image has 1 x 1 pixels; expected at least 2 pixels",
            "text.png: neither JPEG nor PNG",
            "gone.png: No such file",
            "3 of 4 pictures failed; the others are done",
        ],
    );
    let coco = parse(&text(&output.stdout));
    assert_eq!((coco["images"].as_array().unwrap().len(), &coco["images"][0]["id"]), (1, &json!(2)));
    for command in ["proposals", "edges"] {
        let message = refused(&promptseg(&scratch.0, &[command, "dot.png", "--points-per-side", "4"]), 1);
        assert_says(&message, &["dot.png: the image has 1 x 1 pixels"]);
    }
    let message = refused(&everything(&scratch.0, &["0.png", "--region", "9000,0,9010,20"]), 1);
    assert_says(&message, &["0.png: the region of 10 x 20 pixels at (9000, 0) lies outside the image of"]);
    let message = refused(&everything(&scratch.0, &["0.png", "--region", "0,0,1,1"]), 1);
    assert_says(&message, &["0.png: none of the 64 clicks lies inside the region"]);
    let message = refused(&everything(&scratch.0, &["0.png", "--box", "9000,0,9010,20"]), 1);
    assert_says(&message, &["0.png: box 0", "(9000, 0)"]);
}

#[test]
fn models_that_cannot_answer_a_grid_are_refused() {
    let scratch = with_scenes("everything-models");
    let (encoder, traced) = (
        fixture("transformersjs_sam2/vision_encoder.onnx"),
        fixture("transformersjs_sam2_traced/prompt_encoder_mask_decoder.onnx"),
    );
    let (sam, official) = (golden("sam/image_encoder.onnx"), golden("official/mask_decoder.onnx"));
    for name in ["everything", "proposals", "edges"] {
        let with = |model: &[&str]| promptseg(&scratch.0, &[&[name, "0.png", "--model"], model].concat());
        assert_says(&refused(&with(&[&encoder, "--decoder", &traced]), 1), &["does not take points without a box"]);
        assert_says(
            &refused(&with(&[sam.to_str().unwrap(), "--decoder", official.to_str().unwrap()]), 1),
            &["decodes one object in each run"],
        );
    }
    let message =
        refused(&promptseg(&scratch.0, &["everything", "0.png", "--use-m2m", "--model", &fixture("edgesam")]), 1);
    assert_says(&message, &["does not take mask prompts"]);
}

#[test]
fn nothing_is_replaced_without_overwrite() {
    let scratch = with_scenes("everything-kept");
    let existing =
        ["0_labels.png", "0_overlay.png", "0_edges.png", "0.json", "instances.json", "results.json", "c.json"];
    for name in existing {
        scratch.write(name, "drawn by a person");
    }
    for (arguments, file) in [
        (&["everything", "0.png"][..], "0_labels.png"),
        (&["everything", "0.png", "--format", "sa1b", "--overlay"], "0_overlay.png"),
        (&["everything", "0.png", "--format", "sa1b", "--out", "./"], "0.json"),
        (&["everything", "0.png", "--format", "coco", "--out", "./"], "instances.json"),
        (&["everything", "0.png", "--format", "coco-results", "--out", "./"], "results.json"),
        (&["everything", "0.png", "--format", "coco", "--out", "c.json"], "c.json"),
        (&["segment", "0.png", "--point", "9,9", "--format", "coco", "--out", "c.json"], "c.json"),
        (&["proposals", "0.png", "--out", "c.json"], "c.json"),
        (&["edges", "0.png"], "0_edges.png"),
    ] {
        let output = promptseg(&scratch.0, arguments);
        assert_says(&refused(&output, 1), &[file, "exists and is not replaced", "--overwrite"]);
        assert_eq!(text(&output.stdout), "");
        assert_eq!(std::fs::read(scratch.file(file)).unwrap(), b"drawn by a person");
    }
    let again = everything(&scratch.0, &["0.png", "--format", "coco", "--out", "c.json", "--overwrite"]);
    assert_eq!(succeeded(&again), "c.json\n");
    assert_eq!(parse(&text(&std::fs::read(scratch.file("c.json")).unwrap()))["images"][0]["file_name"], "0.png");
    // Labels and edges of an earlier run are not pictures, so the folder has the two scenes.
    let output = everything(&scratch.0, &[".", "--format", "sa1b"]);
    assert_eq!(succeeded(&output).lines().count(), 2);
    let input = promptseg(&scratch.0, &["edges", "0.png", "--out", "0.png", "--overwrite"]);
    assert_says(&refused(&input, 1), &["0.png is an input and is not replaced"]);
}

/// The second picture is a pipe that nobody writes into, so the run waits there until it is killed.
#[cfg(unix)]
#[test]
fn a_run_that_is_killed_leaves_a_whole_file_of_the_pictures_before() {
    let scratch = with_scenes("everything-killed");
    assert!(Command::new("mkfifo").arg(scratch.file("never.png")).status().unwrap().success());
    let arguments = [&["everything", "0.png", "never.png", "--format", "coco", "--out", "c.json"], &GRID[..]].concat();
    let mut child = command(&scratch.0, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = std::time::Instant::now();
    let read = || std::fs::read(scratch.file("c.json")).ok().and_then(|c| serde_json::from_slice::<Value>(&c).ok());
    while read().is_none() {
        assert!(start.elapsed().as_secs() < 120 && child.try_wait().unwrap().is_none());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let coco = read().unwrap();
    assert_eq!(coco["images"].as_array().unwrap().len(), 1);
    assert!(coco["annotations"].as_array().unwrap().len() >= 4);
}

#[test]
fn names_may_hold_bytes_that_are_not_utf_8_and_standard_input_is_a_picture() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = with_scenes("everything-bytes");
    std::fs::create_dir(scratch.file("shots")).unwrap();
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    std::fs::copy(scratch.file("0.png"), scratch.file("shots").join(name(b"caf\xe9.png"))).unwrap();
    for (command, file) in [("everything", &b"caf\xe9_labels.png"[..]), ("edges", b"caf\xe9_edges.png")] {
        let output = promptseg(&scratch.0, &[command, "shots", "--points-per-side", "4", "--out", "masks"]);
        assert_eq!(succeeded(&output).lines().count(), 1);
        assert!(scratch.file("masks").join(name(file)).is_file());
    }
    let coco = parse(&succeeded(&everything(&scratch.0, &["shots", "--format", "coco"])));
    assert_eq!(coco["images"][0]["file_name"], "caf\u{fffd}.png");
    let picture = std::fs::File::open(scratch.file("0.png")).unwrap();
    let piped = command(&scratch.0, &["everything", "-", "--format", "sa1b", "--points-per-side", "4"])
        .stdin(picture)
        .output()
        .unwrap();
    assert_eq!(parse(&succeeded(&piped))["image"]["file_name"], "stdin");
    let output = everything(&scratch.0, &["0.png", "--format", "coco", "--out", "/dev/null"]);
    assert_eq!(succeeded(&output), "/dev/null\n");
}

#[test]
fn proposals_are_ranked_and_have_the_ids_of_the_truth() {
    let scratch = with_scenes("proposals");
    let images = json!([{ "id": 902, "file_name": "1.png" }, { "id": 17, "file_name": "train/0.png" }]);
    scratch.write(
        "truth.json",
        json!({ "images": images, "annotations": [], "categories": [{ "id": 44 }, { "id": 31 }] }).to_string(),
    );
    std::fs::copy(scratch.file("0.png"), scratch.file("other.png")).unwrap();
    let grid = ["--points-per-side", "8", "--image-ids", "truth.json"];
    let proposals = |more: &[&str]| promptseg(&scratch.0, &[&["proposals"], &grid[..], more].concat());
    let output = proposals(&["0.png", "other.png", "1.png", "--out", "p.json", "--overlay"]);
    assert_says(&refused(&output, 1), &["other.png is not among the 2 images of truth.json", "1 of 3 pictures failed"]);
    assert_eq!(text(&output.stdout), "0_overlay.png\n1_overlay.png\np.json\n");
    let results = parse(&text(&std::fs::read(scratch.file("p.json")).unwrap()));
    let results = results.as_array().unwrap();
    let of_image = |id: u64| results.iter().filter(|r| r["image_id"] == id).collect::<Vec<_>>();
    assert_eq!(of_image(17).len() + of_image(902).len(), results.len());
    for list in [of_image(17), of_image(902)] {
        assert!(list.len() > 20, "{}", list.len());
        let scores: Vec<f64> = list.iter().map(|r| r["score"].as_f64().unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
        for result in &list {
            assert_eq!(result["category_id"], 31, "the first category of the truth");
            let b = decode(&result["segmentation"]).bbox.unwrap();
            assert_eq!(result["bbox"], json!([b.x, b.y, b.width, b.height]));
        }
    }
    let first: Vec<Value> = of_image(17).into_iter().take(5).cloned().collect();
    let best = parse(&succeeded(&proposals(&["0.png", "--most", "5"])));
    assert_eq!(best, json!(first));
    scratch.write("broken.json", "[1]");
    let message = refused(&promptseg(&scratch.0, &["proposals", "0.png", "--image-ids", "broken.json"]), 1);
    assert_says(&message, &["--image-ids broken.json", "expected a COCO file with `images`"]);
}

#[test]
fn edges_are_grey_pictures_and_thinning_leaves_their_ridges() {
    let scratch = Scratch::new("edges");
    let is_inside = |x: u32, y: u32| (80..180).contains(&x) && (60..150).contains(&y);
    let picture = |x, y| image::Rgb(if is_inside(x, y) { [230, 210, 60] } else { [40, 60 + (x / 8) as u8, 90] });
    RgbImage::from_fn(256, 208, picture).save(scratch.file("square.png")).unwrap();
    let edges =
        |more: &[&str]| promptseg(&scratch.0, &[&["edges", "square.png", "--points-per-side", "8"], more].concat());
    assert_eq!(succeeded(&edges(&[])), "square_edges.png\n");
    assert_eq!(succeeded(&edges(&["--no-thinning", "--out", "full.png"])), "full.png\n");
    let read = |name: &str| match image::open(scratch.file(name)).unwrap() {
        image::DynamicImage::ImageLuma8(image) => image,
        other => panic!("{name} is {:?}", other.color()),
    };
    let (thin, full) = (read("square_edges.png"), read("full.png"));
    assert_eq!((full.dimensions(), full.pixels().map(|p| p.0[0]).max()), ((256, 208), Some(255)));
    let strong = |image: &GrayImage| -> Vec<(u32, u32)> {
        image.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 128).map(|(x, y, _)| (x, y)).collect()
    };
    let (ridges, wide) = (strong(&thin), strong(&full));
    assert!(ridges.len() * 3 < wide.len() * 2, "{} of {}", ridges.len(), wide.len());
    // Distance to the border of the square, in pixels.
    let distance = |(x, y): &(u32, u32)| {
        let (dx, dy) = (x.abs_diff(80).min(x.abs_diff(179)), y.abs_diff(60).min(y.abs_diff(149)));
        let (beside, above) = ((60..150).contains(y), (80..180).contains(x));
        if beside && above {
            dx.min(dy)
        } else if beside {
            dx
        } else if above {
            dy
        } else {
            dx.max(dy)
        }
    };
    let near = ridges.iter().filter(|pixel| distance(pixel) <= 4).count();
    assert!(near * 10 > ridges.len() * 8 && near > 200, "{near} of {}", ridges.len());
}
