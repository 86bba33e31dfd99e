# A PC with an NVIDIA GPU (driver 580 or newer, nvidia-container-toolkit), ROS 2 Jazzy, CUDA 13. From the repository's root:
#   docker build -f docker/cuda.Dockerfile -t promptseg:cuda .
#   docker run --rm --gpus all --network host --ipc host -v promptseg-cache:/cache promptseg:cuda
# With TensorRT (some GB more): --build-arg TENSORRT=10.13.3.9
ARG BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04
FROM ${BASE} AS ros
ENV ROS_DISTRO=jazzy
COPY docker/install-ros /usr/local/bin/
RUN install-ros jazzy ros-base vision-msgs tf2-msgs diagnostic-msgs lifecycle-msgs bond rmw-cyclonedds-cpp

FROM ros AS build
COPY docker/build /usr/local/bin/build-promptseg
COPY . /ws/src/promptseg
RUN build-promptseg jazzy

FROM ros
# The wheel is built for CUDA 13 and includes the TensorRT provider. Only its library is used, not its Python modules.
ARG ORT_VERSION=1.31.1
ARG TENSORRT=
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip && rm -rf /var/lib/apt/lists/* \
    && pip3 install --no-cache-dir --break-system-packages --no-deps "onnxruntime-gpu==${ORT_VERSION}" \
    && if [ -n "${TENSORRT}" ]; then \
        pip3 install --no-cache-dir --break-system-packages --no-deps "tensorrt-cu13-libs==${TENSORRT}"; fi
# Folder of the libraries in TensorRT's wheel.
ENV LD_LIBRARY_PATH=/usr/local/lib/python3.12/dist-packages/tensorrt_libs:${LD_LIBRARY_PATH}
COPY --from=build /opt/promptseg /opt/promptseg
COPY docker/entrypoint /usr/local/bin/promptseg-entrypoint
ENV XDG_CACHE_HOME=/cache
VOLUME /cache
ENTRYPOINT ["promptseg-entrypoint"]
CMD ["ros2", "launch", "promptseg", "promptseg.launch.py", "params_file:=/opt/promptseg/share/promptseg/config/desktop_cuda.yaml"]
