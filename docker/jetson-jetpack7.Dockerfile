# JetPack 7.2 (Jetson Orin and Thor: Jetson Linux r39.2, Ubuntu 24.04, CUDA 13.2, cuDNN 9.20, TensorRT 10.16) with ROS 2 Jazzy. One
# image for both GPUs. From the repository's root, on the board or on any aarch64 machine:
#   docker build -f docker/jetson-jetpack7.Dockerfile -t promptseg:jetpack7 .
#   docker run --rm --runtime nvidia --network host --ipc host -v promptseg-cache:/cache promptseg:jetpack7
# JetPack 7.0 and 7.1 (Thor alone: CUDA 13.0, TensorRT 10.13): --build-arg L4T=r38.4 --build-arg CUDA=13-0 --build-arg CUDA_ARCHITECTURES=110-real
ARG BASE=ubuntu:24.04
FROM ${BASE} AS nvidia
ARG L4T=r39.2
ARG CUDA=13-2
COPY docker/install-nvidia /usr/local/bin/
# What ONNX Runtime's providers load. The driver's libraries come from the board.
RUN install-nvidia "${L4T}" "cuda-cudart-${CUDA}" "cuda-nvrtc-${CUDA}" "libcublas-${CUDA}" "libcufft-${CUDA}" "libcurand-${CUDA}" \
    libcudnn9-cuda-13 tensorrt-libs

# ONNX Runtime from source, about an hour on a board: the package onnxruntime-gpu for aarch64 has neither TensorRT nor kernels for the
# compute capabilities 8.7 (Orin) and 11.0 (Thor), and the Jetson AI Lab's wheels are for other versions of CUDA. 1.24.2 is the
# version that is known to build with CUDA 13.2 and TensorRT 10.16 for both.
FROM nvidia AS onnxruntime
ARG L4T
ARG CUDA
ARG ORT_VERSION=1.24.2
# 110-virtual: kernels that later GPUs compile for themselves.
ARG CUDA_ARCHITECTURES=87-real;110-real;110-virtual
# Fewer jobs on a board of 8 GB: each takes up to 4 GB.
ARG JOBS=8
RUN install-nvidia "${L4T}" "cuda-toolkit-${CUDA}" libcudnn9-dev-cuda-13 tensorrt build-essential cmake git ninja-build python3
RUN git clone --depth 1 --recursive --shallow-submodules --branch "v${ORT_VERSION}" \
        https://github.com/microsoft/onnxruntime /ort
WORKDIR /ort
RUN ./build.sh --allow_running_as_root --config Release --build_shared_lib --skip_tests --parallel "${JOBS}" --cmake_generator Ninja \
        --compile_no_warning_as_error --use_cuda --cuda_home /usr/local/cuda --cudnn_home /usr \
        --use_tensorrt --tensorrt_home /usr \
        --cmake_extra_defines "CMAKE_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" onnxruntime_BUILD_UNIT_TESTS=OFF \
    && mkdir /opt/onnxruntime && cp -P build/Linux/Release/libonnxruntime*.so* LICENSE ThirdPartyNotices.txt /opt/onnxruntime/
# A build without the kernels of a GPU fails on the board only.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN for capability in $(grep -oE '[0-9]+-real' <<<"${CUDA_ARCHITECTURES}"); do \
        /usr/local/cuda/bin/cuobjdump --list-elf /opt/onnxruntime/libonnxruntime_providers_cuda.so | grep "sm_${capability%-real}" >/dev/null; done

FROM nvidia AS ros
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
# The profile for an AGX Orin also fits a Thor; config/jetson_thor.yaml keeps more frames, jetson_orin_nano.yaml fewer.
CMD ["ros2", "launch", "promptseg", "promptseg.launch.py", "params_file:=/opt/promptseg/share/promptseg/config/jetson_agx_orin.yaml"]
