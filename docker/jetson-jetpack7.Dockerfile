# JetPack 7 (Jetson Thor: L4T r38, Ubuntu 24.04, CUDA 13.0, TensorRT 10.13) with ROS 2 Jazzy. From the repository's root:
#   docker build -f docker/jetson-jetpack7.Dockerfile -t promptseg:jetpack7 .
#   docker run --rm --runtime nvidia --network host --ipc host -v promptseg-cache:/cache promptseg:jetpack7
# No wheel of ONNX Runtime exists for this board, so it is built from source, which takes an hour on the board.
ARG BASE=nvcr.io/nvidia/tensorrt:25.08-py3
FROM ${BASE} AS onnxruntime
ARG ORT_VERSION=1.23.2
# The GPU of Thor (Blackwell).
ARG CUDA_ARCHITECTURES=110
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake git ninja-build \
    && rm -rf /var/lib/apt/lists/*
RUN git clone --depth 1 --recursive --shallow-submodules --branch "v${ORT_VERSION}" \
        https://github.com/microsoft/onnxruntime /ort
WORKDIR /ort
RUN ./build.sh --allow_running_as_root --config Release --build_shared_lib --skip_tests --parallel --cmake_generator Ninja \
        --use_cuda --cuda_home /usr/local/cuda --cudnn_home /usr \
        --use_tensorrt --tensorrt_home /usr \
        --cmake_extra_defines "CMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" onnxruntime_BUILD_UNIT_TESTS=OFF \
    && mkdir /opt/onnxruntime && cp -P build/Linux/Release/libonnxruntime*.so* LICENSE ThirdPartyNotices.txt /opt/onnxruntime/

FROM ${BASE} AS ros
ENV ROS_DISTRO=jazzy
COPY docker/install-ros /usr/local/bin/
RUN install-ros jazzy ros-base vision-msgs tf2-msgs diagnostic-msgs lifecycle-msgs bond rmw-cyclonedds-cpp

FROM ros AS build
COPY docker/build /usr/local/bin/build-promptseg
COPY . /ws/src/promptseg
RUN build-promptseg jazzy

FROM ros
COPY --from=onnxruntime /opt/onnxruntime /opt/onnxruntime
# ONNX Runtime finds its providers in the same folder.
ENV ORT_DYLIB_PATH=/opt/onnxruntime/libonnxruntime.so
COPY --from=build /opt/promptseg /opt/promptseg
COPY docker/entrypoint /usr/local/bin/promptseg-entrypoint
# Cache of TensorRT engines, which take minutes to build: mount a volume.
ENV XDG_CACHE_HOME=/cache
VOLUME /cache
ENTRYPOINT ["promptseg-entrypoint"]
CMD ["ros2", "launch", "promptseg", "promptseg.launch.py", "params_file:=/opt/promptseg/share/promptseg/config/jetson_thor.yaml"]
