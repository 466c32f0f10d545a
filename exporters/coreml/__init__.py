"""Core ML packages: conversion, compression, verification of the saved file."""
