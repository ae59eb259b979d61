"""affect_core"""
