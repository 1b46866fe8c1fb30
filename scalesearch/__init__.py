"""scalesearch"""
