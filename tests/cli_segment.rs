//! `promptseg segment` from the outside: its output, its files and its exit codes.

mod scratch;
mod tool;

use std::path::Path;
use std::process::{Output, Stdio};

use image::{GrayImage, RgbImage};
use promptseg::pixels::encode_jpeg;
use scratch::{Scratch, assert_says, decode_run_lengths, golden, line, refused, succeeded, text};
use serde_json::Value;
use tool::{command, promptseg};

/// Runs `promptseg segment` with a small model.
fn segment(folder: &Path, arguments: &[&str]) -> Output {
    let model = golden("variants");
    let tail = ["--threads", "1", "--model", model.to_str().unwrap()];
    promptseg(folder, &[&["segment"], arguments, &tail].concat())
}

/// Reads a mask and checks that it holds 0 and 255 only.
fn mask(path: &Path) -> GrayImage {
    let image = image::open(path).unwrap();
    let image::DynamicImage::ImageLuma8(image) = image else { panic!("the mask is not grey") };
    assert!(image.pixels().all(|p| [0, 255].contains(&p.0[0])));
    image
}

/// Fills polygons along the borders of pixels by the even-odd rule.
fn fill(polygons: &[&Value], width: u32, height: u32) -> GrayImage {
    let mut image = GrayImage::new(width, height);
    for polygon in polygons.iter().flat_map(|list| list.as_array().unwrap()) {
        let flat: Vec<u32> = polygon.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
        let corners: Vec<(u32, u32)> = flat.chunks_exact(2).map(|c| (c[0], c[1])).collect();
        for ((x0, y0), (x1, y1)) in corners.iter().zip(corners.iter().cycle().skip(1)) {
            assert!(x0 == x1 || y0 == y1);
            for y in *y0.min(y1)..*y0.max(y1) {
                (*x0..width).for_each(|x| image.get_pixel_mut(x, y).0[0] ^= 255);
            }
        }
    }
    image
}

#[test]
fn a_click_writes_a_mask_and_prints_the_name_of_its_file() {
    let scratch = Scratch::with_cat("click");
    let output = segment(&scratch.0, &["cat.png", "--point", "160,100", "--overlay"]);
    assert_eq!(succeeded(&output), "cat_mask.png\ncat_overlay.png\n");
    let mask = mask(&scratch.file("cat_mask.png"));
    assert_eq!(mask.dimensions(), (320, 213));
    assert!(mask.pixels().any(|p| p.0[0] == 255) && mask.pixels().any(|p| p.0[0] == 0));
    let overlay = image::open(scratch.file("cat_overlay.png")).unwrap().into_rgb8();
    assert_eq!(overlay.dimensions(), (320, 213));
    assert_ne!(overlay, image::open(scratch.file("cat.png")).unwrap().into_rgb8());
}

#[test]
fn every_format_holds_the_same_masks() {
    let scratch = Scratch::with_cat("formats");
    let objects = ["cat.png", "--box", "60,20,280,200", "--box", "10,10,100,90"];
    let with = |more: &[&str]| segment(&scratch.0, &[&objects[..], more].concat());
    assert_eq!(succeeded(&with(&[])), "cat_mask_1.png\ncat_mask_2.png\n");
    let masks = [1, 2].map(|i| mask(&scratch.file(format!("cat_mask_{i}.png"))));
    assert_ne!(masks[0], masks[1]);

    let (rle, json, polygon) = (
        line(&with(&["--format", "coco-rle"])),
        line(&with(&["--format", "json"])),
        line(&with(&["--format", "polygon"])),
    );
    for (i, mask) in masks.iter().enumerate() {
        let area = mask.pixels().filter(|p| p.0[0] == 255).count();
        for line in [&rle, &json, &polygon] {
            assert_eq!((line["image"].as_str(), &line["size"]), (Some("cat.png"), &serde_json::json!([213, 320])));
            assert_eq!(line["masks"][i]["object"], i + 1);
            assert_eq!(line["masks"][i]["area"], area);
        }
        assert!(decode_run_lengths(&rle["masks"][i]["segmentation"]) == *mask);
        assert_eq!(rle["masks"][i]["segmentation"], json["masks"][i]["segmentation"]);
        let polygon = &polygon["masks"][i];
        assert!(fill(&[&polygon["segmentation"], &polygon["holes"]], 320, 213) == *mask);
        let [x, y, w, h] = [0, 1, 2, 3].map(|k| json["masks"][i]["box"][k].as_u64().unwrap() as u32);
        let inside = mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] == 255);
        assert!(inside.clone().all(|(px, py, _)| (x..x + w).contains(&px) && (y..y + h).contains(&py)));
        for key in ["iou", "stability"] {
            assert!((-0.5..=1.5).contains(&json["masks"][i][key].as_f64().unwrap()));
        }
    }
    assert_eq!((json["model"].as_str(), json["precision"].as_str()), (Some("sam_variants"), Some("int8")));
    assert!(json["ms"]["encode"].as_f64().unwrap() > 0.0);

    let coco: Value = serde_json::from_str(&succeeded(&with(&["--format", "coco"]))).unwrap();
    let image = serde_json::json!([{ "id": 1, "file_name": "cat.png", "width": 320, "height": 213 }]);
    assert_eq!((&coco["images"], coco["annotations"].as_array().unwrap().len()), (&image, 2));
    for (i, mask) in json["masks"].as_array().unwrap().iter().enumerate() {
        let annotation = &coco["annotations"][i];
        assert_eq!((&annotation["id"], &annotation["image_id"]), (&(i + 1).into(), &1.into()));
        for (key, of_mask) in [("segmentation", "segmentation"), ("area", "area"), ("bbox", "box"), ("score", "iou")] {
            assert_eq!(annotation[key], mask[of_mask], "{key}");
        }
    }

    assert_eq!(succeeded(&with(&["--format", "npy", "--out", "all.npy"])), "all.npy\n");
    let content = std::fs::read(scratch.file("all.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([content[8], content[9]]));
    assert!(content.starts_with(b"\x93NUMPY\x01\x00") && header % 64 == 0 && content[header - 1] == b'\n');
    assert_says(&text(&content[10..header]), &["'descr': '|b1'", "'fortran_order': False", "'shape': (2, 213, 320)"]);
    let expected: Vec<u8> = masks.iter().flat_map(|m| m.as_raw().iter().map(|v| v / 255)).collect();
    assert!(content[header..] == expected);
}

#[test]
fn all_writes_every_candidate() {
    let scratch = Scratch::with_cat("all");
    let message = succeeded(&segment(&scratch.0, &["cat.png", "--point", "160,100", "--all"]));
    assert_eq!(message, "cat_mask_c1.png\ncat_mask_c2.png\ncat_mask_c3.png\n");
    let json = line(&segment(&scratch.0, &["cat.png", "--point", "160,100", "--all", "--format", "json"]));
    let masks = json["masks"].as_array().unwrap();
    assert_eq!(masks.len(), 3);
    let best: Vec<&Value> = masks.iter().filter(|m| m["best"] == true).collect();
    assert_eq!(best.len(), 1);
    assert!(masks.iter().all(|m| m["iou"].as_f64() <= best[0]["iou"].as_f64()));
    assert_eq!(masks[0]["candidate_ious"].as_array().unwrap().len(), 3);
}

#[test]
fn each_makes_every_point_an_object_and_label_0_is_a_background_point() {
    let scratch = Scratch::with_cat("each");
    let count = |arguments: &[&str]| {
        let json = line(&segment(&scratch.0, &[&["cat.png", "--format", "json"], arguments].concat()));
        json["masks"].as_array().unwrap().len()
    };
    assert_eq!(count(&["--point", "160,100", "--point", "20,20"]), 1);
    assert_eq!(count(&["--point", "160,100", "--point", "20,20", "--each"]), 2);
    assert_eq!(count(&["--point", "160,100", "--point", "20,20,0"]), 1);
}

#[test]
fn a_mask_prompt_must_have_the_size_of_the_image() {
    let scratch = Scratch::with_cat("mask");
    let drawn = GrayImage::from_fn(320, 213, |x, y| image::Luma([if x > 100 && y > 80 { 255 } else { 0 }]));
    drawn.save(scratch.file("drawn.png")).unwrap();
    assert_eq!(succeeded(&segment(&scratch.0, &["cat.png", "--mask", "drawn.png"])), "cat_mask.png\n");
    GrayImage::from_pixel(8, 9, image::Luma([255])).save(scratch.file("small.png")).unwrap();
    let message = refused(&segment(&scratch.0, &["cat.png", "--mask", "small.png", "--overwrite"]), 1);
    assert_says(&message, &["cat.png", "--mask is 8x9 pixels", "320x213"]);
}

/// Other tools write masks with other levels than 255.
#[test]
fn masks_of_two_colours_are_accepted_and_empty_masks_and_label_pictures_are_refused() {
    let scratch = Scratch::with_cat("masks");
    let inside = |x: u32, y: u32| (80..240).contains(&x) && (40..180).contains(&y);
    let write = |name: &str, level: &dyn Fn(u32, u32) -> u8| {
        GrayImage::from_fn(320, 213, |x, y| image::Luma([level(x, y)])).save(scratch.file(name)).unwrap();
    };
    write("255.png", &|x, y| if inside(x, y) { 255 } else { 0 });
    write("1.png", &|x, y| u8::from(inside(x, y)));
    write("3.png", &|x, y| 3 * u8::from(inside(x, y)));
    write("empty.png", &|_, _| 0);
    write("classes.png", &|x, y| u8::from(inside(x, y)) * (1 + (x / 100) as u8));
    let labels = image::ImageBuffer::from_fn(320, 213, |x, y| image::Luma([7 * u16::from(inside(x, y))]));
    image::DynamicImage::ImageLuma16(labels).save(scratch.file("labels.png")).unwrap();
    let answer = |name: &str| segment(&scratch.0, &["cat.png", "--mask", name, "--format", "coco-rle"]);
    let expected = line(&answer("255.png"));
    for name in ["1.png", "3.png", "labels.png"] {
        assert_eq!(line(&answer(name)), expected, "{name}");
    }
    assert_says(
        &refused(&answer("empty.png"), 1),
        &["empty.png: mask with nothing inside", "black and one other colour"],
    );
    assert_says(
        &refused(&answer("classes.png"), 1),
        &["classes.png: label picture of 4 colours", "the mask of one object"],
    );
}

#[test]
fn files_of_others_are_not_replaced_without_overwrite() {
    let scratch = Scratch::with_cat("kept");
    let existing =
        ["cat_mask.png", "cat_mask_2.png", "cat_overlay.png", "cat.json", "cat_mask.npy", "m.png", "m.jsonl"];
    for name in existing {
        scratch.write(name, "drawn by a person");
    }
    let (click, boxes) =
        (["cat.png", "--point", "160,100"], ["cat.png", "--box", "9,9,99,99", "--box", "60,20,280,200"]);
    for (arguments, file) in [
        (&click[..], "cat_mask.png"),
        (&boxes, "cat_mask_2.png"),
        (&["cat.png", "--point", "160,100", "--overlay", "--format", "json"], "cat_overlay.png"),
        (&["cat.png", "--point", "160,100", "--format", "json", "--out", "./"], "cat.json"),
        (&["cat.png", "--point", "160,100", "--format", "npy"], "cat_mask.npy"),
        (&["cat.png", "--point", "160,100", "--out", "m.png"], "m.png"),
        (&["cat.png", "--point", "160,100", "--format", "json", "--out", "m.jsonl"], "m.jsonl"),
    ] {
        let output = segment(&scratch.0, arguments);
        assert_says(&refused(&output, 1), &[file, "exists and is not replaced", "--overwrite"]);
        assert_eq!(text(&output.stdout), "");
        assert_eq!(std::fs::read(scratch.file(file)).unwrap(), b"drawn by a person");
    }
    // If one file of a picture exists, none of its files is written.
    assert!(!scratch.file("cat_mask_1.png").exists());
    assert_eq!(succeeded(&segment(&scratch.0, &[&click[..], &["--overwrite"]].concat())), "cat_mask.png\n");
    assert_eq!(mask(&scratch.file("cat_mask.png")).dimensions(), (320, 213));
    let message = refused(&segment(&scratch.0, &[&click[..], &["--overwrite", "--out", "cat.png"]].concat()), 1);
    assert_says(&message, &["cat.png is an input and is not replaced"]);
}

#[test]
fn devices_and_standard_input_work_as_in_other_tools() {
    let scratch = Scratch::with_cat("devices");
    let click = ["--point", "160,100"];
    for format in [&[][..], &["--format", "json"]] {
        let output = segment(&scratch.0, &[&["cat.png", "--out", "/dev/null"], &click[..], format].concat());
        assert_eq!(succeeded(&output), "/dev/null\n");
    }
    let model = golden("variants");
    let piped = |more: &[&str]| {
        let arguments =
            [&["segment", "-", "--threads", "1", "--model", model.to_str().unwrap()], &click[..], more].concat();
        let picture = std::fs::File::open(scratch.file("cat.png")).unwrap();
        command(&scratch.0, &arguments).stdin(picture).output().unwrap()
    };
    assert_eq!(succeeded(&piped(&[])), "stdin_mask.png\n");
    let (file, stdin) = (
        line(&segment(&scratch.0, &[&["cat.png", "--format", "coco-rle"], &click[..]].concat())),
        line(&piped(&["--format", "coco-rle"])),
    );
    assert_eq!((&stdin["image"], &stdin["masks"]), (&"-".into(), &file["masks"]));
    let nothing = command(&scratch.0, &["segment", "-", "--point", "1,1", "--format", "json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_says(&refused(&nothing, 1), &["standard input: the file is empty"]);
}

#[test]
fn hidden_files_of_a_folder_are_skipped_and_unsupported_pictures_cause_a_warning() {
    let scratch = Scratch::with_cat("hidden");
    std::fs::create_dir(scratch.file("shots")).unwrap();
    let cat = image::open(scratch.file("cat.png")).unwrap().into_rgb8();
    for name in ["a.JFIF", "b.jpe", "c.jpg"] {
        scratch.write(&format!("shots/{name}"), encode_jpeg(&cat, 75).unwrap());
    }
    // macOS writes such files beside each file on a foreign file system.
    scratch.write("shots/._c.jpg", "\0\x05\x16\x07");
    let count = |source: &str, more: &[&str]| {
        let output = segment(&scratch.0, &[&[source, "--point", "160,100", "--format", "coco-rle"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        (text(&output.stdout).lines().count(), text(&output.stderr))
    };
    assert_eq!(count("shots", &[]), (3, String::new()));
    assert_eq!(count("shots/*.jp*", &[]), (2, String::new()));
    scratch.write("shots/d.webp", "RIFF");
    let (pictures, warning) = count("shots", &[]);
    assert_says(&warning, &["shots: left out 1 pictures that are neither JPEG nor PNG", "shots/d.webp"]);
    assert_eq!(pictures, 3);
}

#[test]
fn file_names_may_hold_bytes_that_are_not_utf_8() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::with_cat("bytes");
    std::fs::create_dir(scratch.file("shots")).unwrap();
    let name = |bytes: &[u8]| OsStr::from_bytes(bytes).to_owned();
    for file in [b"caf\xe9.png", b"caf\xe8.png"] {
        std::fs::copy(scratch.file("cat.png"), scratch.file("shots").join(name(file))).unwrap();
    }
    let click = ["shots", "cat.png", "--point", "160,100"];
    let message = succeeded(&segment(&scratch.0, &[&click[..], &["--format", "json"]].concat()));
    let images: Vec<String> = message
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["image"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(images, ["shots/caf\u{fffd}.png", "shots/caf\u{fffd}.png", "cat.png"]);
    let output = segment(&scratch.0, &[&click[..], &["--out", "masks"]].concat());
    assert_eq!(succeeded(&output).lines().count(), 3);
    for file in [b"caf\xe9_mask.png", b"caf\xe8_mask.png"] {
        assert!(scratch.file("masks").join(name(file)).is_file());
    }
    let model = scratch.file(name(b"mod\xe8le"));
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(golden("variants")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    let output = command(&scratch.0, &["inspect", "--json"]).arg(&model).output().unwrap();
    let json = line(&output);
    assert!(json["path"].as_str().unwrap().ends_with("mod\u{fffd}le"), "{json}");
    assert_eq!((json["name"].as_str(), json["error"].as_str()), (Some("sam_variants"), None));
}

#[test]
fn a_bad_picture_does_not_stop_the_run() {
    let scratch = Scratch::with_cat("many");
    std::fs::create_dir(scratch.file("shots")).unwrap();
    let cat = image::open(scratch.file("cat.png")).unwrap().into_rgb8();
    scratch.write("shots/a.jpg", encode_jpeg(&cat, 75).unwrap());
    cat.save(scratch.file("shots/b.png")).unwrap();
    let (jpeg, png) =
        (std::fs::read(scratch.file("shots/a.jpg")).unwrap(), std::fs::read(scratch.file("shots/b.png")).unwrap());
    scratch.write("shots/cut.jpg", &jpeg[..jpeg.len() / 4]);
    scratch.write("shots/cut.png", &png[..png.len() / 2]);
    scratch.write("shots/empty.jpg", "");
    scratch.write("shots/text.png", "hello");
    scratch.write("shots/notes.txt", "not a picture");
    let mut bomb = png.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 200, 0, 0, 0, 200, 0]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    scratch.write("shots/bomb.png", &bomb);
    scratch.sparse("shots/huge.jpg", 100 << 30);
    let output = segment(&scratch.0, &["shots", "'nothing*'", "cat.png", "--point", "160,100", "--out", "out"]);
    assert_says(&refused(&output, 1), &["no file matches ''nothing*''"]);

    let output = segment(&scratch.0, &["shots", "c?t.png", "gone.png", "--point", "160,100", "--out", "out/deep"]);
    let message = refused(&output, 1);
    assert_says(
        &message,
        &[
            "shots/cut.jpg: truncated or damaged",
            "shots/cut.png: truncated or damaged",
            "shots/empty.jpg: the file is empty",
            "shots/text.png: neither JPEG nor PNG (it starts with 68 65 6c 6c 6f)",
            "shots/bomb.png: image of 51200x51200 pixels; at most 16384 a side",
            "shots/huge.jpg: more than 512 MB",
            "gone.png: No such file",
            "7 of 10 pictures failed; the others are done",
        ],
    );
    assert!(!message.contains("notes.txt"));
    assert_eq!(text(&output.stdout), "out/deep/a_mask.png\nout/deep/b_mask.png\nout/deep/cat_mask.png\n");
    // JSON has a line for each picture that was segmented.
    let output =
        segment(&scratch.0, &["shots/*.png", "--point", "160,100", "--format", "coco-rle", "--out", "m.jsonl"]);
    refused(&output, 1);
    assert_eq!(text(&output.stdout), "m.jsonl\n");
    assert_eq!(std::fs::read_to_string(scratch.file("m.jsonl")).unwrap().lines().count(), 1);
    // Results of an earlier run in the folder are not pictures to segment.
    for name in ["cut.jpg", "cut.png", "empty.jpg", "text.png", "bomb.png", "huge.jpg"] {
        std::fs::remove_file(scratch.file("shots").join(name)).unwrap();
    }
    let arguments = ["shots", "--point", "160,100", "--out", "shots", "--overlay"];
    let first = succeeded(&segment(&scratch.0, &arguments));
    assert_eq!(first.lines().count(), 4);
    assert_eq!(succeeded(&segment(&scratch.0, &[&arguments[..], &["--overwrite"]].concat())), first);
}

#[test]
fn out_is_a_file_a_folder_or_standard_output_and_never_an_input() {
    let scratch = Scratch::with_cat("out");
    let with = |more: &[&str]| segment(&scratch.0, &[&["cat.png", "--point", "160,100"], more].concat());
    assert_eq!(succeeded(&with(&["--out", "m.png"])), "m.png\n");
    let output = with(&["--out", "-"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == std::fs::read(scratch.file("m.png")).unwrap());
    assert_eq!(succeeded(&with(&["--out", "masks/", "--format", "json"])), "masks/cat.json\n");
    let before = std::fs::read(scratch.file("cat.png")).unwrap();
    let message = refused(&with(&["--out", "cat.png"]), 1);
    assert_says(&message, &["cat.png is an input and is not replaced"]);
    assert!(std::fs::read(scratch.file("cat.png")).unwrap() == before);
    let mask = std::fs::read(scratch.file("m.png")).unwrap();
    let message = refused(&with(&["--mask", "m.png", "--out", "m.png"]), 1);
    assert_says(&message, &["m.png is an input and is not replaced"]);
    assert!(std::fs::read(scratch.file("m.png")).unwrap() == mask);
}

#[test]
fn wrong_usage_ends_with_exit_code_2_and_a_hint() {
    let scratch = Scratch::with_cat("usage");
    for (arguments, part) in [
        (&["cat.png"][..], "nothing to segment: give --point X,Y"),
        (&["cat.png", "--point", "1,2,7"], "label 7; expected 1"),
        (&["cat.png", "--point", "left"], "'left' is not a number"),
        (&["cat.png", "--box", "9,9,1,1"], "X0 < X1"),
        (&["cat.png", "--point", "1,1", "--box", "0,0,5,5", "--box", "6,6,9,9"], "several --box are an object each"),
        (&["cat.png", "--point", "1,1", "--out", "m.jpg"], "goes into a .png file, or a folder"),
        (&["cat.png", "--point", "1,1", "--all", "--out", "m.png"], "a single file holds one mask of one picture"),
        (&["cat.png", "--point", "1,1", "--format", "gif"], "possible values: png, coco-rle, polygon, coco, json, npy"),
        (&["cat.png", "--point", "1,1", "--precision", "fp8"], "possible values: auto, fp32, fp16, int8"),
        (&["a/cat.png", "b/cat.png", "--point", "1,1"], "would have the same name"),
        (&["--point", "1,1"], "<IMAGE>..."),
    ] {
        let message = refused(&segment(&scratch.0, arguments), 2);
        assert_says(&message, &[part, "--help"]);
    }
    let message = refused(&promptseg(&scratch.0, &["segmnt"]), 2);
    assert_says(&message, &["unrecognized subcommand", "segment"]);
    assert_says(&text(&promptseg(&scratch.0, &["segment", "--help"]).stdout), &["Examples:", "--box 10,20,200,180"]);
}

#[test]
fn prompts_that_the_model_cannot_answer_end_with_exit_code_1() {
    let scratch = Scratch::with_cat("model");
    for (arguments, part) in [
        (&["cat.png", "--point", "900,1"][..], "point (900, 1) is outside the image of 320x213"),
        (&["cat.png", "--point", "9,9,0"], "only background points"),
    ] {
        assert_says(&refused(&segment(&scratch.0, arguments), 1), &["cat.png: ", part]);
    }
    let sam = golden("sam");
    let sam = ["segment", "cat.png", "--point", "9,9", "--model", sam.to_str().unwrap(), "--precision", "int8"];
    let message = refused(&promptseg(&scratch.0, &sam), 1);
    assert_says(&message, &["bundle.json has no int8 variant"]);
    let gone = ["segment", "cat.png", "--point", "9,9", "--model", "gone"];
    assert_says(&refused(&promptseg(&scratch.0, &gone), 1), &["gone is neither a bundle", "no such file or folder"]);
}

#[test]
fn masks_have_the_size_of_pictures_of_any_shape() {
    let scratch = Scratch::new("shapes");
    for (width, height) in [(1, 1), (1, 50), (700, 3)] {
        RgbImage::from_pixel(width, height, image::Rgb([9, 200, 30])).save(scratch.file("p.png")).unwrap();
        succeeded(&segment(&scratch.0, &["p.png", "--point", "0,0", "--overwrite"]));
        assert_eq!(mask(&scratch.file("p_mask.png")).dimensions(), (width, height));
    }
}

fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    })
}
