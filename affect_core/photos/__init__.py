"""Your own photos and videos: from a file to faces, from faces to what the shipped models say about them.

    reading = read_photos("holidays/")          # a path, a folder, an upload, arrays
    reading.files(), reading.table(), reading.to_csv("faces.csv")
    video = read_video("clip.mp4")
    video.timeline(sigma=0.3), video.to_csv("clip.csv")

opening    files, folders, uploads        video      frames, cuts
detection  boxes and five points          following  one face through a shot
alignment  the crop that the models know  smoothing  within cuts and gaps
reading    photos                         timeline   videos                showing    figures of both

Nothing is downloaded or sent anywhere. What the answers can and cannot mean: notebook 08.
"""

from affect_core.photos.alignment import align
from affect_core.photos.detection import Face, find_faces
from affect_core.photos.reading import Photo, PhotoReading, read_photos
from affect_core.photos.showing import face_card, photo_overview, video_timeline
from affect_core.photos.timeline import Timeline, VideoReading, read_video
from affect_core.photos.video import VideoFrames

__all__ = [
    "Face",
    "Photo",
    "PhotoReading",
    "Timeline",
    "VideoFrames",
    "VideoReading",
    "align",
    "face_card",
    "find_faces",
    "photo_overview",
    "read_photos",
    "read_video",
    "video_timeline",
]
