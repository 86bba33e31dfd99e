# JetPack 6 (Jetson Orin: L4T r36, Ubuntu 22.04, CUDA 12.6, TensorRT 10.3) with ROS 2 Humble. From the repository's root:
#   docker build -f docker/jetson-jetpack6.Dockerfile -t promptseg:jetpack6 .
#   docker run --rm --runtime nvidia --network host --ipc host -v promptseg-cache:/cache promptseg:jetpack6
ARG BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime
FROM ${BASE} AS ros
ENV ROS_DISTRO=humble
COPY docker/install-ros /usr/local/bin/
RUN install-ros humble ros-base vision-msgs tf2-msgs diagnostic-msgs lifecycle-msgs bond rmw-cyclonedds-cpp

FROM ros AS build
COPY docker/build /usr/local/bin/build-promptseg
COPY . /ws/src/promptseg
RUN build-promptseg humble

FROM ros
# ONNX Runtime with CUDA and TensorRT for Python 3.10 and CUDA 12.6: a wheel of the Jetson AI Lab for JetPack 6, with kernels for the
# compute capability 8.7. The package onnxruntime-gpu for aarch64 has neither those nor TensorRT. 1.23.0 is the newest that the index
# has for TensorRT 10.3; the node needs 1.20.
ARG ORT_INDEX=https://pypi.jetson-ai-lab.io/jp6/cu126
ARG ORT_VERSION=1.23.0
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/* \
    && pip3 install --no-cache-dir --no-deps --index-url "${ORT_INDEX}" "onnxruntime-gpu==${ORT_VERSION}"
COPY --from=build /opt/promptseg /opt/promptseg
COPY docker/entrypoint /usr/local/bin/promptseg-entrypoint
# Cache of TensorRT engines, which take minutes to build: mount a volume.
ENV XDG_CACHE_HOME=/cache
VOLUME /cache
ENTRYPOINT ["promptseg-entrypoint"]
CMD ["ros2", "launch", "promptseg", "promptseg.launch.py", "params_file:=/opt/promptseg/share/promptseg/config/jetson_agx_orin.yaml"]
