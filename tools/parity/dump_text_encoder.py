"""Dumps transformers' BertModel, layer by layer, for the text encoder's parity test.

Without --folder: a tiny random model; its weights go into the file as `weights.NAME` and its
config beside it as JSON. With --folder (text_encoder/ and tokenizer/): the real weights on some
prompts, states only; --layers picks which, so that the file can stay small.
Tensors: ids and mask I64 [B,L], hidden.K F32 [B,L,C] for K = 0 (embeddings) .. number of layers.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

PROMPTS = ["passage: a red apple, 3D render", "passage: 蓝色的鲸鱼,扁平图标"]


def tiny():
    torch.manual_seed(3)
    config = BertConfig(vocab_size=48, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=12, layer_norm_eps=1e-12,
                        pad_token_id=1)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from the initial zeros and ones
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ids = torch.randint(2, 48, (3, 9))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    mask[2, 1:] = 0
    return model, ids.masked_fill(mask == 0, 1), mask


def real(folder):
    import check_e5
    tokenizer, model = check_e5.load_exported(folder)
    rows = [tokenizer.encode(prompt).ids for prompt in PROMPTS]
    length = max(map(len, rows))
    ids = torch.tensor([row + [1] * (length - len(row)) for row in rows])
    return model, ids, (ids != 1).long()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, nargs="*", help="default: all")
    args = parser.parse_args()
    model, ids, mask = real(args.folder) if args.folder else tiny()
    with torch.no_grad():
        states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    tensors = {"ids": ids, "mask": mask}
    for k, state in enumerate(states):
        if args.layers is None or k in args.layers:
            tensors[f"hidden.{k}"] = state.contiguous()
    if not args.folder:
        tensors |= {f"weights.{name}": value.detach().clone().contiguous()
                    for name, value in model.state_dict().items() if value.is_floating_point()}
        config = {key: value for key, value in model.config.to_dict().items()
                  if value is not None and key in (
                      "model_type", "vocab_size", "hidden_size", "num_hidden_layers",
                      "num_attention_heads", "intermediate_size", "max_position_embeddings",
                      "type_vocab_size", "pad_token_id", "layer_norm_eps", "hidden_act")}
        args.out.with_suffix(".json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(tensors, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
