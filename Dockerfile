# docker build -t tts-study . && docker run -p 8888:8888 tts-study
# The notebooks with the recorded runs, without PyTorch and vLLM; open the address that it prints.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /tts-study
COPY . .
RUN make setup DEVICE=read
EXPOSE 8888
CMD ["make", "read", "ARGS=--ip=0.0.0.0 --no-browser"]
