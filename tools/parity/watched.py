"""What layers of a torch module give out while it runs, for the dumps of reference values."""


def watch(model, label_of):
    """Returns a dict that fills when the model runs; label_of(name of a module): under what its output is kept, or None.

    A label may hold {number}: how many outputs there were before.
    """
    outputs = {}

    def hook(label):
        def note(_module, _arguments, output):
            output = output[0] if isinstance(output, tuple) else output
            output = output.sample if hasattr(output, "sample") else output
            outputs[label.format(number=len(outputs))] = output.detach().clone().contiguous()
        return note

    for name, module in model.named_modules():
        if label := label_of(name):
            module.register_forward_hook(hook(label))
    return outputs
