"""Times sentence-transformers on the sentences of a text file.

    encode_sentences.py ENCODER_FOLDER SENTENCES.txt THREADS VECTORS.safetensors

The last line of output is JSON. Tokenization is timed, loading is not.
"""

import json
import sys
import time

import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

folder, file, threads, out = sys.argv[1:]
torch.set_num_threads(int(threads))
model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.float32})
with open(file, encoding="utf-8") as lines:
    sentences = lines.read().splitlines()
start = time.perf_counter()
vectors = model.encode(sentences, batch_size=32, normalize_embeddings=True, convert_to_tensor=True)
seconds = time.perf_counter() - start
save_file({"vectors": vectors.float().cpu().contiguous()}, out)
print(json.dumps({"sentences": len(sentences), "seconds": seconds, "sentences_per_second": len(sentences) / seconds}))
