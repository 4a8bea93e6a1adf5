"""TFRecord files against TensorFlow's own reader and writer."""

import numpy as np
import pytest

from calmvae.common import magenta_import
from calmvae.common.errors import DataError
from calmvae.midi import tfrecord

RECORDS = [b"", b"x", bytes(range(256)) * 50, np.random.default_rng(0).bytes(100_001)]


def test_tensorflow_reads_ours_and_we_read_tensorflows(tmp_path):
    tf = magenta_import.load_tensorflow()
    tfrecord.write(tmp_path / "ours", RECORDS)
    assert list(tf.io.tf_record_iterator(str(tmp_path / "ours"))) == RECORDS
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
    assert list(tfrecord.read(tmp_path / "theirs")) == RECORDS


def test_every_damage_is_told(tmp_path):
    file = tmp_path / "records"
    tfrecord.write(file, [b"first", b"second record"])
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(DataError, match="not a readable TFRecord"):
            list(tfrecord.read(file))
    first = 8 + 4 + 5 + 4
    for length in set(range(1, len(whole))) - {first}:
        file.write_bytes(whole[:length])
        with pytest.raises(DataError, match="not a readable TFRecord"):
            list(tfrecord.read(file))
    with pytest.raises(DataError, match="cannot be read"):
        list(tfrecord.read(tmp_path / "none"))
