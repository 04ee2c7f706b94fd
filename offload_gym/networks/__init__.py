"""Trained networks without torch: their files, the policy, two kernels, roll-outs, C and ONNX."""
