"""Other frameworks' networks: conversion to ONNX under our contract."""
